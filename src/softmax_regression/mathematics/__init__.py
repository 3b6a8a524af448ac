"""The mathematics by hand: softmax, cross-entropy, SGD, batches, and the twins it is proven against."""
