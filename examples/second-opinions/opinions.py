"""Sentences and what each of twenty people said of them, from the archive of vaderSentiment.

    python opinions.py vaderSentiment-3.3.2.tar.gz 1500

Each rater said how negative (-4) or positive (4) a sentence of a product review is (Hutto and
Gilbert 2014). Writes the first sentences, of whole reviews: `texts.parquet` with the texts,
`readings.parquet` with a row for every single rating, as negative, neutral or positive,
`grades.parquet`, likewise with the numbers, and `reviews.parquet`, which says of which review a
sentence is.
"""

import ast
import io
import sys
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq

INSIDE = "additional_resources/hutto_ICWSM_2014.tar.gz"
NAME = "amazonReviewSnippets"


def lines_of(archive, name):
    """The lines of a file of the inner archive, their cells split at tabs."""
    text = archive.extractfile(f"hutto_ICWSM_2014/{name}.txt").read().decode("utf-8-sig")
    return [line.split("\t") for line in text.splitlines() if line]


def sentences_of(archive):
    """Sentences with all their ratings; an id is that of a review and of a sentence in it."""
    ratings = {
        cells[0]: ast.literal_eval(cells[3])
        for cells in lines_of(archive, f"{NAME}_anonDataRatings")
    }
    return [
        {
            "example_id": place,
            "text": text,
            "ratings": ratings[place],
            "review": place.split("_")[0],
        }
        for place, _, text in lines_of(archive, f"{NAME}_GroundTruth")
    ]


def first_reviews(rows, count):
    """The first sentences, up to the end of a review."""
    while count < len(rows) and rows[count]["review"] == rows[count - 1]["review"]:
        count += 1
    return rows[:count]


def side(rating):
    """Which side of zero a rating is on."""
    return "neutral" if rating == 0 else "positive" if rating > 0 else "negative"


def main(path, count):
    """Write the tables."""
    with tarfile.open(path) as outer:
        name = next(one for one in outer.getnames() if one.endswith(INSIDE))
        inner = io.BytesIO(outer.extractfile(name).read())
    with tarfile.open(fileobj=inner) as archive:
        rows = first_reviews(sentences_of(archive), count)
    single = [(one["example_id"], int(rating)) for one in rows for rating in one["ratings"]]
    ids, grades = zip(*single, strict=True)
    tables = {
        "texts": pa.Table.from_pylist(rows).select(["example_id", "text"]),
        "reviews": pa.Table.from_pylist(rows).select(["example_id", "review"]),
        "readings": pa.table({"example_id": ids, "label": [side(one) for one in grades]}),
        "grades": pa.table({"example_id": ids, "label": grades}),
    }
    for name, table in tables.items():
        pq.write_table(table, f"{name}.parquet")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
