"""Judges TOML files by a JSON Schema: validate.py SCHEMA FILE...

One line for each file: a JSON list of what is wrong with it. Both halves are independent of steplog:
the TOML reader is Python's own, the validator the package jsonschema.
"""

import json
import sys
import tomllib

import jsonschema


def main():
    with open(sys.argv[1], "rb") as file:
        schema = json.load(file)
    validator = jsonschema.validators.validator_for(schema)
    validator.check_schema(schema)
    for path in sys.argv[2:]:
        with open(path, "rb") as file:
            document = tomllib.load(file)
        errors = validator(schema).iter_errors(document)
        print(json.dumps([f"{error.json_path}: {error.message}" for error in errors]))


if __name__ == "__main__":
    main()
