"""What students hand in for each converted chapter: half of it right, and all of it wrong.

A submission gives, for cells that define an answer, code that follows the right answer and takes
its place, by what the cell defines; the other answers are right in a "half", and a "wrong" has
none that is. `PARTLY` says which share of a check's points the half-right answers earn.
"""

HALF = {
    "numpy_lenet": {
        "def toy_answers": """
right_answers = toy_answers


def toy_answers():
    return {number: answer if number < 8 else 0 for number, answer in right_answers().items()}""",
        "def pooling_layer_backward": """
def pooling_layer_backward(output, input, layer):
    images = convnet.as_images(input, "pooling layer")
    maxima = convnet.as_images(output, "pooling layer")
    diff = convnet.as_images(output, "pooling layer", "diff")
    input_od = np.zeros_like(images)
    for pixels, gradient in zip(places(images, layer), places(input_od, layer), strict=True):
        gradient += diff * (pixels == maxima)
    return input_od.reshape(input["data"].shape)""",
        "def sgd_momentum": """
def sgd_momentum(w_rate, b_rate, mu, decay, params, param_winc, param_grad):
    new_params, new_winc = {}, {}
    for i, grad in param_grad.items():
        rates = {"w": w_rate, "b": b_rate}
        new_winc[i] = {
            name: mu * param_winc[i][name] + rate * (grad[name] + decay * params[i][name])
            for name, rate in rates.items()
        }
        new_params[i] = {name: params[i][name] - new_winc[i][name] for name in rates}
    return new_params, new_winc""",
    },
    "hw7": {
        "class LeNet5": """
right = LeNet5._initialize_network


def without_a_relu(self):
    layers = list(right(self))
    del layers[-2]
    return nn.Sequential(*layers)


LeNet5._initialize_network = without_a_relu""",
        "def train": """
right_train = train


def train(model, images, labels, batches, *, steps, learning_rate, momentum):
    return right_train(
        model, images, labels, batches, steps=steps, learning_rate=learning_rate, momentum=0.0
    )""",
        "def multiply_adds": """
def multiply_adds(layer, output_shape):
    return layer.weight.numel() if isinstance(layer, nn.Linear) else 0""",
        "def get_intermediate": """
right_intermediate = get_intermediate


def get_intermediate(model, X):
    return right_intermediate(model, X)[::-1]


LeNet5.get_intermediate = get_intermediate""",
    }
}

# The share of the points of the check of each answer, and the reason that the feedback gives.
PARTLY = {
    "numpy_lenet": {
        "toy_answers": (7 / 12, "question 9"),
        "pooling_layer_forward": (1, ""),
        "relu_forward": (1, ""),
        "inner_product_forward": (1, ""),
        "pooling_layer_backward": (6 / 7, "attains the maximum"),
        "relu_backward": (1, ""),
        "inner_product_backward": (1, ""),
        "sgd_momentum": (6 / 7, "weight decay acts on the biases"),
    },
    "hw7": {
        "LeNet5": (0.5, "ReLU is missing after the second fully connected layer"),
        "train": (0.6, "momentum has no effect"),
        "evaluate": (1, ""),
        "multiply_adds": (0.2, "nothing but zeros came"),
        "get_intermediate": (0, "in the wrong order"),
    }
}

WRONG = {
    "numpy_lenet": {
        "def toy_answers": """
def toy_answers():
    return dict.fromkeys(range(1, 13), 0)""",
        "def pooling_layer_forward": """
def pooling_layer_forward(input, layer):
    return input""",
        "def relu_forward": """
def relu_forward(input, layer):
    return input""",
        "def inner_product_forward": """
def inner_product_forward(input, layer, param):
    return input""",
        "def pooling_layer_backward": """
def pooling_layer_backward(output, input, layer):
    return np.zeros_like(input["data"])""",
        "def relu_backward": """
def relu_backward(output, input, layer):
    return np.zeros_like(input["data"])""",
        "def inner_product_backward": """
def inner_product_backward(output, input, layer, param):
    return {"w": 0 * param["w"], "b": 0 * param["b"]}, 0 * input["data"]""",
        "def sgd_momentum": """
def sgd_momentum(w_rate, b_rate, mu, decay, params, param_winc, param_grad):
    return params, param_winc""",
    },
    "hw7": {
        "class LeNet5": """
LeNet5._initialize_network = lambda self: nn.Sequential(nn.Linear(784, 10))""",
        "def train": """
def train(model, images, labels, batches, *, steps, learning_rate, momentum):
    return [0.0] * steps""",
        "def evaluate": """
def evaluate(model, images, labels):
    return 0.0, 0.0""",
        "def multiply_adds": """
def multiply_adds(layer, output_shape):
    return 1""",
        "def get_intermediate": """
def get_intermediate(model, X):
    return X, X


LeNet5.get_intermediate = get_intermediate""",
    }
}
