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
    },
    "custom_lenet5": {
        "def prepare": """
right_prepare = prepare


def prepare(images):
    prepared = right_prepare(images)
    prepared[:, :, :2], prepared[:, :, 30:] = 0, 0
    prepared[:, :, :, :2], prepared[:, :, :, 30:] = 0, 0
    return prepared""",
        "def output_size": """
def output_size(size, kernel_size, stride=1, padding=0):
    return (size + 2 * padding - kernel_size) // stride + 1""",
        "def convolution_loops": """
right_loops = convolution_loops


def convolution_loops(X, weight, bias, stride=(1, 1), padding=(0, 0)):
    return right_loops(X, weight, None, stride, padding)""",
        "def scatter_windows": """
def scatter_windows(windows, shape, stride):
    X = windows.new_zeros(shape)
    for i, j in product(*map(range, windows.shape[1:3])):
        seen_by(X, i, j, windows.shape[3:5], stride).copy_(windows[:, i, j])
    return X""",
        "class Convolution2d": """
def swapped(self, X):
    return convolve(X, self.weight, self.bias, self.stride[::-1], self.padding)


Convolution2d.forward = swapped""",
        "class ScaledTanh": """
ScaledTanh.forward = lambda self, a: torch.tanh(2 / 3 * a)""",
        "class TrainableSubsampling2d": """
right_sum = TrainableSubsampling2d.forward


def of_the_mean(self, X):
    return right_sum(self, X / 4)


TrainableSubsampling2d.forward = of_the_mean""",
        "def discriminative_loss": """
right_loss = discriminative_loss


def discriminative_loss(scores, labels, rubbish=10.0):
    return len(scores) * right_loss(scores, labels, rubbish)""",
        "def lenet5": """
right_lenet5 = lenet5


def lenet5():
    model = right_lenet5()
    model.squash6 = nn.Identity()
    return model""",
        "def train": """
right_train = train


def train(model, optimizer, images, labels, *, steps, batch_size, schedule, loss_function,
          generator):
    return right_train(
        model, optimizer, images, labels, steps=steps, batch_size=batch_size,
        schedule=lambda step: schedule(0), loss_function=loss_function, generator=generator,
    )""",
    },
    "sgd_variants": {
        "def relu_backward": """
def relu_backward(d_outputs, outputs):
    d_outputs *= outputs > 0
    return d_outputs""",
        "def max_pool_backward": """
def max_pool_backward(d_outputs, x, outputs):
    d_x = np.zeros_like(x)
    for place, d_place in zip(places(x), places(d_x), strict=True):
        d_place[...] = d_outputs * (place == outputs)
    return d_x""",
        "def convolution_backward_parameters": """
right_parameters = convolution_backward_parameters


def convolution_backward_parameters(d_outputs, x):
    d_weights, d_bias = right_parameters(d_outputs, x)
    return d_weights, d_bias / x.shape[-1]""",
        "def convolution_backward_input": """
def convolution_backward_input(d_outputs, weights):
    no_bias = np.zeros(weights.shape[1], d_outputs.dtype)
    return convolution_forward(d_outputs, weights.swapaxes(0, 1), no_bias)""",
        "def dense_backward": """
def dense_backward(d_outputs, x, weights):
    batch = d_outputs.shape[1]
    return weights.T @ d_outputs, d_outputs @ x.T / batch, d_outputs.sum(axis=1) / batch""",
        "def backward": """
right_backward = backward


def backward(theta, a, d_logits):
    return right_backward(theta, a | {"hidden": a["hidden"] + 1e-9}, d_logits)""",
        "def momentum_step": """
def momentum_step(theta, gradient, velocity, learning_rate, alpha):
    velocity *= alpha
    velocity += (1 - alpha) * gradient
    theta -= learning_rate * velocity""",
        "def rmsprop_step": """
def rmsprop_step(theta, gradient, mean_square, learning_rate, rho, epsilon=1e-8):
    mean_square *= rho
    mean_square += (1 - rho) * gradient**2
    theta -= learning_rate * gradient / np.sqrt(mean_square + epsilon)""",
    },
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
        "sgd_momentum": (5 / 7, "weight decay acts on the biases"),
    },
    "hw7": {
        "LeNet5": (0.5, "ReLU is missing after the second fully connected layer"),
        "train": (0.6, "momentum has no effect"),
        "evaluate": (1, ""),
        "multiply_adds": (0.2, "nothing but zeros came"),
        "get_intermediate": (0, "in the wrong order"),
    },
    "custom_lenet5": {
        "prepare": (2 / 3, "the frame is 0, and should be background, -0.1"),
        "output_size": (0.8, "raise ValueError"),
        "convolution_loops": (4 / 7, "the bias is missing"),
        "convolution_unfold": (1, ""),
        "gather_windows": (1, ""),
        "scatter_windows": (0.25, "an entry takes the place of another"),
        "convolve": (1, ""),
        "Convolution2d": (0.5, "vertical and horizontal stride are swapped"),
        "AveragePooling2d": (1, ""),
        "MaxPooling2d": (1, ""),
        "ScaledTanh": (0, "the factor 1.7159 is missing"),
        "TrainableSubsampling2d": (0, "the mean of each window is taken"),
        "PartialConvolution2d": (1, ""),
        "RadialBasisOutput": (1, ""),
        "discriminative_loss": (1 / 6, "the losses of the batch are added up"),
        "lenet5": (7 / 8, "the squashing is missing"),
        "train": (5 / 6, "the schedule is read for step 0 only"),
    },
    "sgd_variants": {
        "relu_backward": (2 / 3, "changes its argument d_outputs"),
        "max_pool_backward": (2 / 3, "each of several equal maxima gets the whole gradient"),
        "convolution_backward_parameters": (0.8, "d_bias is averaged over the batch"),
        "convolution_backward_input": (0.75, "the kernels are not flipped"),
        "dense_backward": (0.5, "d_weights is averaged over the batch"),
        "backward": (0.8, "the ReLU mask of the hidden layer is forgotten"),
        "sgd_step": (1, ""),
        "momentum_step": (0.75, "the gradient is weighted with 1 - α"),
        "rmsprop_step": (0.8, "ε stands inside the root"),
        "evaluate": (1, ""),
    },
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
    },
    "custom_lenet5": {
        "def prepare": """
def prepare(images):
    return images""",
        "def output_size": """
def output_size(size, kernel_size, stride=1, padding=0):
    return size""",
        "def convolution_loops": """
def convolution_loops(X, weight, bias, stride=(1, 1), padding=(0, 0)):
    return X""",
        "def convolution_unfold": """
def convolution_unfold(X, weight, bias, stride=(1, 1), padding=(0, 0)):
    return X""",
        "def gather_windows": """
def gather_windows(X, kernel_size, places, stride):
    return X


def scatter_windows(windows, shape, stride):
    return windows""",
        "def convolve": """
def convolve(X, weight, bias=None, stride=(1, 1), padding=(0, 0)):
    return X""",
        "class Convolution2d": """
class Convolution2d(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, bias=True):
        super().__init__()""",
        "class AveragePooling2d": """
class AveragePooling2d(nn.Module):
    def __init__(self, kernel_size, stride=None, padding=0):
        super().__init__()

    def forward(self, X):
        return X""",
        "class MaxPooling2d": """
class MaxPooling2d(nn.Module):
    def __init__(self, kernel_size, stride=None):
        super().__init__()

    def forward(self, X):
        return X""",
        "class ScaledTanh": """
class ScaledTanh(nn.Module):
    def forward(self, a):
        return a""",
        "class TrainableSubsampling2d": """
class TrainableSubsampling2d(nn.Module):
    def __init__(self, channels):
        super().__init__()""",
        "class PartialConvolution2d": """
class PartialConvolution2d(nn.Module):
    def __init__(self, connected, kernel_size):
        super().__init__()""",
        "class RadialBasisOutput": """
class RadialBasisOutput(nn.Module):
    def __init__(self, codes):
        super().__init__()
        self.weight = nn.Parameter(codes)

    def forward(self, X):
        return X @ self.weight.T""",
        "def discriminative_loss": """
def discriminative_loss(scores, labels, rubbish=10.0):
    return scores.mean()""",
        "def lenet5": """
def lenet5():
    return nn.Sequential(nn.Flatten(), nn.Linear(1024, 10))""",
        "def train": """
def train(model, optimizer, images, labels, *, steps, batch_size, schedule, loss_function,
          generator):
    return [0.0] * steps""",
    },
    "sgd_variants": {
        "def relu_backward": """
def relu_backward(d_outputs, outputs):
    return d_outputs""",
        "def max_pool_backward": """
def max_pool_backward(d_outputs, x, outputs):
    return x""",
        "def convolution_backward_parameters": """
def convolution_backward_parameters(d_outputs, x):
    return x, d_outputs""",
        "def convolution_backward_input": """
def convolution_backward_input(d_outputs, weights):
    return d_outputs""",
        "def dense_backward": """
def dense_backward(d_outputs, x, weights):
    return x, weights, d_outputs""",
        "def backward": """
def backward(theta, a, d_logits):
    return theta""",
        "def sgd_step": """
def sgd_step(theta, gradient, state, learning_rate):
    theta = theta + gradient""",
        "def momentum_step": """
def momentum_step(theta, gradient, velocity, learning_rate, alpha):
    theta += velocity""",
        "def rmsprop_step": """
def rmsprop_step(theta, gradient, mean_square, learning_rate, rho, epsilon=1e-8):
    theta += gradient""",
        "def evaluate": """
def evaluate(theta, examples):
    return 0.0, 0.0""",
    },
}
