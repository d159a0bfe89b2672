"""Writes observation.csv from the OGLE-IV photometry that MulensModel's sdist carries.

    pip download --no-binary :all: --no-deps MulensModel==3.12.0
    python make_observation.py mulensmodel-3.12.0.tar.gz

Needs nothing but Python's standard library.
"""

import csv
import pathlib
import sys
import tarfile

MEMBER = "mulensmodel-3.12.0/data/photometry_files/OB08092/phot_ob08092_O4.dat"


def main():
    with tarfile.open(sys.argv[1]) as archive:
        lines = archive.extractfile(MEMBER).read().decode("ascii").splitlines()
    path = pathlib.Path(__file__).with_name("observation.csv")
    with path.open("w", newline="", encoding="ascii") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["time", "value", "sigma"])
        for line in lines:
            # HJD - 2450000 (days), I magnitude, its error; as they stand, without rescaling.
            time, magnitude, error = line.split()
            writer.writerow([float(time), float(magnitude), float(error)])
    print(f"{len(lines)} rows in {path}")


if __name__ == "__main__":
    main()
