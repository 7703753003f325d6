"""The digits by the forms they were written on: another form is another hand.

The 1,797 digits are fourteen forms one after another: their labels are the same text of 130 digits
fourteen times (0123456789 three times, then 0955650989841...), with a few missing. Networks are
pretrained on the first five forms and fine-tuned on the next five; the last four nobody has seen.
`probed.npz` has the nine forms that pretraining has not seen, and the form of each digit.
"""

import numpy as np

from nncli.formats.datasets import load

FORMS = (0, 130, 256, 386, 516, 646, 776, 905, 1029, 1157, 1287, 1415, 1541, 1667)
PARTS = {"pretrain": (0, 5), "finetune": (5, 10), "hands": (10, 14), "probed": (5, 14)}


def main():
    """Write the datasets."""
    digits = load("digits", split="all")
    place = np.arange(len(digits.y))
    form = np.searchsorted(FORMS, place, side="right") - 1
    for name, (first, stop) in PARTS.items():
        rows = (form >= first) & (form < stop)
        more = {"example_id": place[rows], "factor_form": form[rows]}
        np.savez(f"{name}.npz", x=digits.x[rows], y=digits.y[rows], **more)


if __name__ == "__main__":
    main()
