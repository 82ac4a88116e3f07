"""What courses on segmentation say, and what the papers do."""

ERRATA = (
    (
        "The matrix of a convolution of stride 2 has the kernel x, y, x.",
        "Its rows hold the whole kernel x, y, z, moved by two places each.",
    ),
    (
        "Binary cross-entropy has y as an exponent of its logarithms.",
        "y is a factor: -(y log p + (1 - y) log(1 - p)), the mean over the mask.",
    ),
    (
        "FCN concatenates what it skips.",
        "FCN sums scores of classes; U-Net concatenates features.",
    ),
    (
        "U-Net weighs a pixel the more, the nearer it is to an edge.",
        "The weight depends on the distances to the two nearest cells: the edge of a "
        "lone cell has no more weight. w0 is 10 and sigma about 5 pixels.",
    ),
    (
        "In staged training each sub-network learns to classify, the deepest first.",
        "FCN-32s learns to segment; FCN-16s goes on from it, and FCN-8s from that. The "
        "score layer that joins begins at zero.",
    ),
    (
        "A transposed convolution is a bed of nails and a convolution.",
        "So it is if the kernel is flipped, in and out channels are exchanged, and "
        "k - 1 zeros are put before and k - s after.",
    ),
    (
        "Average unpooling shares a value among its window.",
        "What is so called copies the value: it is nearest up-sampling.",
    ),
    (
        "The focal loss sums over classes, with a and 0 in its formula.",
        "They are alpha and o, the logits; p is their softmax, and only the true class "
        "has a term.",
    ),
    (
        "A threshold of the softmax gives the label map.",
        "The largest channel does. A threshold of 1/2 is the same for two classes.",
    ),
    (
        "Deviations are added to earlier layers.",
        "Skips take scores of earlier layers, which have finer strides.",
    ),
    (
        "V-Net was tested on Promise20.",
        "The data are PROMISE12.",
    ),
    (
        "The last dense layer becomes a convolution of 1 x 1.",
        "The first dense layer becomes a convolution as large as what it saw; those "
        "after it become 1 x 1.",
    ),
    (
        "An up-convolution gives four pixels and four times the resolution.",
        "With kernel and stride 2 there are four times as many pixels: twice as many "
        "along each axis, and half the channels.",
    ),
    (
        "The context module has five dilated branches side by side.",
        "Its eight layers stand in a row.",
    ),
)
