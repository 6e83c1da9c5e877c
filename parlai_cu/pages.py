"""Reports as one HTML file without any link to elsewhere."""

import os
from typing import Any


def rendered(source: str, template: str, **values: Any) -> str:
    """
    A page.

    :param source: path of the module beside which the template is
    :param template: its name
    :param values: what it is filled with; all is escaped
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(os.path.dirname(os.path.abspath(source))),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(template).render(**values)
