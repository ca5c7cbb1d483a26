"""What students hand in for each converted chapter: half of it right, and all of it wrong.

A submission gives, for cells that define an answer, code that follows the right answer and takes
its place, by what the cell defines; the other answers are right in a "half", and a "wrong" has
none that is. `PARTLY` says which share of a check's points the half-right answers earn.
"""

HALF = {
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
    "hw7": {
        "LeNet5": (0.5, "ReLU is missing after the second fully connected layer"),
        "train": (0.6, "momentum has no effect"),
        "evaluate": (1, ""),
        "multiply_adds": (0.2, "nothing but zeros came"),
        "get_intermediate": (0, "in the wrong order"),
    }
}

WRONG = {
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
