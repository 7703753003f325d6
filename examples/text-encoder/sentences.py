"""Sentences that twenty people rated, from the archive of vaderSentiment, as datasets.

    python sentences.py vaderSentiment-3.3.2.tar.gz 1200

Each rater said how negative (-4) or positive (4) a sentence is (Hutto and Gilbert 2014). Writes
`products.parquet`, the first sentences, of whole reviews of products, and `films.parquet`, half as
many sentences of film reviews, from all over their file, which begins with praise. Both have the
text and whether its mean rating is positive or negative; what is within half a point of zero is
left out. `about.parquet` has a row for each of these sentences: the mean rating, the number of
words, and the review, whose sentences must not be divided between training and test.
"""

import ast
import io
import sys
import tarfile
from statistics import fmean

import pyarrow as pa
import pyarrow.parquet as pq

CLEAR = 0.5
INSIDE = "additional_resources/hutto_ICWSM_2014.tar.gz"


def lines_of(archive, name):
    """The lines of a file of the inner archive, their cells split at tabs."""
    text = archive.extractfile(f"hutto_ICWSM_2014/{name}.txt").read().decode("utf-8-sig")
    return [line.split("\t") for line in text.splitlines() if line]


def sentences_of(archive, name, kind):
    """Sentences with the means of their ratings, as they stand in the list of all ratings.

    Ids of products are those of a review and of a sentence in it, such as 12_3.
    """
    ratings = {
        cells[0]: fmean(ast.literal_eval(cells[3]))
        for cells in lines_of(archive, f"{name}_anonDataRatings")
    }
    rows = []
    for place, _, text in lines_of(archive, f"{name}_GroundTruth"):
        rating = ratings[place]
        if abs(rating) >= CLEAR:
            rows.append(
                {
                    "example_id": f"{kind} {place}",
                    "text": text,
                    "label": "positive" if rating > 0 else "negative",
                    "rating": rating,
                    "words": float(len(text.split())),
                    "review": f"{kind} {place.split('_')[0]}",
                }
            )
    return rows


def first_reviews(rows, count):
    """The first sentences, up to the end of a review."""
    while count < len(rows) and rows[count]["review"] == rows[count - 1]["review"]:
        count += 1
    return rows[:count]


def main(path, count):
    """Write the datasets."""
    with tarfile.open(path) as outer:
        name = next(one for one in outer.getnames() if one.endswith(INSIDE))
        inner = io.BytesIO(outer.extractfile(name).read())
    with tarfile.open(fileobj=inner) as archive:
        products = sentences_of(archive, "amazonReviewSnippets", "product")
        films = sentences_of(archive, "movieReviewSnippets", "film")
    apart = max(1, 2 * len(films) // count)
    chosen = {"products": first_reviews(products, count), "films": films[::apart][: count // 2]}
    for name, rows in chosen.items():
        data = pa.Table.from_pylist(rows).select(["example_id", "text", "label"])
        pq.write_table(data, f"{name}.parquet")
    about = pa.Table.from_pylist(chosen["products"] + chosen["films"])
    pq.write_table(about.select(["example_id", "rating", "words", "review"]), "about.parquet")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
