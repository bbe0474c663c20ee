"""Small tables in the form in which well-known data sets are distributed: the values are made up."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gradcheck.models.target import Binary, Real, Target

ROWS = 20


@dataclass(frozen=True)
class Form:
    """A data set's form.

    text : of the file.   read : how pandas reads it.   numeric : the columns of numbers, when all rows are complete.
    """

    file: str
    text: str
    target: str
    kind: Target
    read: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)


def adult(r: random.Random) -> Form:
    """UCI adult: no names, a blank after each comma, a question mark for what is missing."""
    lines = []
    for i in range(ROWS):
        work = "?" if i == 7 else r.choice(["Private", "State-gov", "Self-emp-not-inc"])
        fields = [r.randrange(17, 90), work, r.randrange(10**4, 10**6), r.choice(["Bachelors", "HS-grad", "11th"])]
        fields += [r.randrange(1, 17), r.choice(["Never-married", "Divorced"]), "?" if work == "?" else "Adm-clerical"]
        fields += [r.choice(["Husband", "Wife"]), "White", r.choice(["Male", "Female"]), r.choice([0, 2174]), 0]
        fields += [r.randrange(1, 99), "United-States", "<=50K" if i % 3 else ">50K"]
        lines.append(", ".join(map(str, fields)))
    read = {"header": None, "skipinitialspace": True, "na_values": ["?"]}
    return Form("adult.data", "\n".join(lines) + "\n", "f14", Binary(1), read)


def wine_quality(r: random.Random) -> Form:
    """UCI wine-quality: names in quotes, semicolons, decimal points."""
    names = ["fixed acidity", "volatile acidity", "citric acid", "residual sugar", "chlorides", "free sulfur dioxide"]
    names += ["total sulfur dioxide", "density", "pH", "sulphates", "alcohol", "quality"]
    lines = [";".join(f'"{name}"' for name in names)]
    for _ in range(ROWS):
        lines.append(";".join(f"{r.uniform(0, 40):.4g}" for _ in names[:-1]) + f";{r.randrange(3, 9)}")
    return Form("winequality-red.csv", "\n".join(lines) + "\n", "quality", Real(1), {"sep": ";"})


def titanic(r: random.Random) -> Form:
    """Kaggle titanic: names with commas in quotes, empty fields."""
    lines = ["PassengerId,Survived,Pclass,Name,Sex,Age,SibSp,Parch,Ticket,Fare,Cabin,Embarked"]
    for i in range(ROWS):
        age = "" if i % 6 == 5 else f"{r.randrange(1, 80)}"
        name = f'"Doe, {r.choice(["Mr", "Mrs"])}. Jo ""J"" {i}"' if i % 2 else f'"Roe, Miss. Ann {i}"'
        fields: list[object] = [i + 1, i % 2, r.randrange(1, 4), name, r.choice(["male", "female"]), age, i % 3, 0]
        fields += [f"A/5 {r.randrange(10**5)}", f"{r.uniform(5, 99):.4f}", "C85" if i % 4 == 0 else "", "S"]
        lines.append(",".join(map(str, fields)))
    return Form("train.csv", "\r\n".join(lines) + "\r\n", "Survived", Binary(1), {})


def banknote(r: random.Random) -> Form:
    """UCI banknote: numbers without names."""
    lines = [",".join(f"{r.gauss(0, 3):.5g}" for _ in range(4)) + f",{i % 2}" for i in range(ROWS)]
    return Form("data_banknote_authentication.txt", "\n".join(lines) + "\n", "f4", Binary(1), {"header": None})


def spambase(r: random.Random) -> Form:
    """UCI spambase: 57 numbers and a class, without names."""
    lines = [",".join(f"{r.expovariate(2):.3g}" for _ in range(57)) + f",{i % 2}" for i in range(ROWS)]
    return Form("spambase.data", "\n".join(lines) + "\n", "f57", Binary(1), {"header": None})


FORMS: dict[str, Callable[[random.Random], Form]] = {
    "adult": adult,
    "wine-quality": wine_quality,
    "titanic": titanic,
    "banknote": banknote,
    "spambase": spambase,
}
