"""`corral config`: the effective configuration.

Trust: operator side. Input: the operator's configuration file.
"""

from __future__ import annotations

import json
from dataclasses import asdict

import typer

from corral.cli.options import HomeOption, JsonOption, effective_config
from corral.cli.terminal import print_json, screen
from corral.core.home import Home

app = typer.Typer(no_args_is_help=True, help="Look at the configuration.")


@app.command("show")
def show(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Print every setting as it takes effect, as TOML that can be used as a file.

    Example: corral config show > corral.toml
    """
    place = Home.locate(home)
    tree = asdict(effective_config(place))
    if as_json:
        print_json(tree)
        return
    lines = [f"# effective configuration; file: {place.config_file}"]
    for section, settings in tree.items():
        lines += ["", f"[{section}]"]
        # JSON's spelling of strings, integers and lists of strings is TOML's too.
        plain = {name: value for name, value in settings.items() if not isinstance(value, dict)}
        lines += [f"{name} = {json.dumps(value)}" for name, value in plain.items()]
        for name in settings.keys() - plain.keys():
            for key, table in settings[name].items():
                lines += ["", f"[{section}.{name}.{json.dumps(key)}]"]
                lines += [f"{item} = {json.dumps(value)}" for item, value in table.items()]
    screen().print("\n".join(lines), soft_wrap=True)
