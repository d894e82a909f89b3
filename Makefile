# The one interface: people and continuous integration call the same verbs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Pins hold for what builds the package as well.
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
STAMP := $(VENV)/.made-from-$(shell cat pyproject.toml constraints.txt | cksum | cut -d' ' -f1)

# SAM pins half of PyPI: an environment of its own, with cfn-lint and uv.
AWS := .venv-aws
AWS_BIN := $(CURDIR)/$(AWS)/bin
AWS_STAMP := $(AWS)/.made-from-$(shell cksum < constraints-aws.txt | cut -d' ' -f1)
# The webknossos library is the oracle of annotation tests. It asks for old releases of much else, and is AGPL.
WEBKNOSSOS := .venv-webknossos
WEBKNOSSOS_STAMP := $(WEBKNOSSOS)/.made-from-$(shell cksum < constraints-webknossos.txt | cut -d' ' -f1)
# MiniStack plays CloudFront's KeyValueStore in tests. It asks for an older botocore.
MINISTACK := .venv-ministack
MINISTACK_STAMP := $(MINISTACK)/.made-from-$(shell cksum < constraints-ministack.txt | cut -d' ' -f1)
# Zarr's clients, each as new as there is a Python for it here.
CLIENTS := .venv-clients
CLIENTS_STAMP := $(CLIENTS)/.made-from-$(shell cat constraints-clients.txt tests/clients/packages.txt | cksum | cut -d' ' -f1)
JAVASCRIPT := tests/clients/javascript
JAVASCRIPT_STAMP := $(JAVASCRIPT)/node_modules/.package-lock.json
ZARRITA := tests/end_to_end/zarrita
ZARRITA_STAMP := $(ZARRITA)/node_modules/.package-lock.json
# The servers that benchmarks are compared with, and matplotlib. They ask for Python 3.12; without one the peers are left out.
PEERS := .venv-peers
PEERS_STAMP := $(PEERS)/.made-from-$(shell cksum < constraints-peers.txt | cut -d' ' -f1)
# Without MAKEFLAGS, since SAM calls make in turn: ARCH given to us must not reach the build for the other processor.
SAM := env -u MAKEFLAGS -u MAKELEVEL PATH="$(AWS_BIN):$$PATH" SAM_CLI_TELEMETRY=0 $(AWS_BIN)/sam
ARCHS := arm64 x86_64
ARCH ?= arm64

# What looks at the dependencies is none of them.
AUDIT := .venv-audit
AUDIT_STAMP := $(AUDIT)/.made-from-$(shell cksum < constraints-audit.txt | cut -d' ' -f1)

# What Lambda's own Python has. The emulator of Lambda's runtime comes with SAM, for Linux on both processors.
LAMBDA := .venv-lambda
LAMBDA_STAMP := $(LAMBDA)/.made-from-$(shell cat constraints.txt infra/lambda_python.py | cksum | cut -d' ' -f1)
MACHINE := $(subst aarch64,arm64,$(shell uname -m))
EMULATED := LAMBDA_BUILD=.aws-sam/$(MACHINE) LAMBDA_PYTHON=$(LAMBDA)/bin/python \
  LAMBDA_EMULATOR="$$(echo $(AWS)/lib/python*/site-packages/samcli/local/rapid/aws-lambda-rie-$(MACHINE))"

# AWS on this machine: LocalStack asks for old releases of much else; our plugins lie beside it.
LOCALSTACK := .venv-localstack
LOCALSTACK_STAMP := $(LOCALSTACK)/.made-from-$(shell cat constraints-localstack.txt local/localstack/pyproject.toml | cksum | cut -d' ' -f1)
DEPLOYED := --localstack $(LOCALSTACK)/bin/python --sam $(AWS)/bin/sam --build .aws-sam/$(MACHINE) --function $(LAMBDA)/bin/python \
  --emulator "$$(echo $(AWS)/lib/python*/site-packages/samcli/local/rapid/aws-lambda-rie-$(MACHINE))"

.PHONY: help setup setup-audit setup-aws setup-clients setup-lambda setup-localstack setup-ministack setup-peers setup-webknossos \
  run run-cdn smoke smoke-stack first-user restore-rows test test-lambda test-deploy clients faults audit check format bench fuzz \
  build edge build-aws build-here deploy deploy-local undeploy-local clean

help: ## show this
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(STAMP) ## make .venv with everything pinned (Python 3.11 to 3.13; PYTHON=... chooses)
$(STAMP):
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "zarrlink needs Python 3.11 or newer; name one with PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[local,test,aws,check,browser]'
	@rm -f $(VENV)/.made-from-*; touch $@

run: setup ## serve a sample volume through a private link (RUN="--port 0" passes options on)
	@$(BIN)/python local/run.py $(RUN)

run-cdn: setup ## the same behind nginx as the CDN (needs nginx-light and libnginx-mod-http-js)
	@$(BIN)/python local/run.py --cdn $(RUN)

test: setup ## run the tests (TEST="-k name" passes options on)
	$(BIN)/python -m pytest -n auto $(TEST)

setup-aws: $(AWS_STAMP) ## make .venv-aws with SAM, cfn-lint and uv (check and build do it themselves)
$(AWS_STAMP):
	$(PYTHON) -m venv $(AWS)
	PIP_CONSTRAINT=constraints-aws.txt $(AWS_BIN)/python -m pip install --quiet aws-sam-cli cfn-lint uv
	@rm -f $(AWS)/.made-from-*; touch $@

setup-webknossos: $(WEBKNOSSOS_STAMP) ## make .venv-webknossos, without which annotation tests skip their oracle
$(WEBKNOSSOS_STAMP):
	$(PYTHON) -m venv $(WEBKNOSSOS)
	PIP_CONSTRAINT=constraints-webknossos.txt $(WEBKNOSSOS)/bin/python -m pip install --quiet webknossos
	@rm -f $(WEBKNOSSOS)/.made-from-*; touch $@

setup-ministack: $(MINISTACK_STAMP) ## make .venv-ministack, without which tests of the edge's store skip CloudFront's
$(MINISTACK_STAMP):
	$(PYTHON) -m venv $(MINISTACK)
	PIP_CONSTRAINT=constraints-ministack.txt $(MINISTACK)/bin/python -m pip install --quiet ministack
	@rm -f $(MINISTACK)/.made-from-*; touch $@

setup-clients: $(CLIENTS_STAMP) $(JAVASCRIPT_STAMP) ## make .venv-clients with Zarr's clients, and those for Node (clients does it itself)
$(CLIENTS_STAMP):
	"$$($(PYTHON) tests/clients/newest_python.py)" -m venv --clear $(CLIENTS)
	PIP_CONSTRAINT=constraints-clients.txt $(CLIENTS)/bin/python -m pip install --quiet --requirement tests/clients/packages.txt
	@touch $@
$(JAVASCRIPT_STAMP): $(JAVASCRIPT)/package-lock.json tests/clients/fetch_bundles.py
	npm ci --no-audit --no-fund --silent --prefix $(JAVASCRIPT)
	$(PYTHON) tests/clients/fetch_bundles.py $(JAVASCRIPT)/node_modules/.bundles
	@touch $@

setup-lambda: $(LAMBDA_STAMP) ## make .venv-lambda with what Lambda's Python has (test-lambda and bench do it themselves)
$(LAMBDA_STAMP):
	"$$($(PYTHON) infra/lambda_python.py)" -m venv --clear $(LAMBDA)
	$(LAMBDA)/bin/python -m pip install --quiet awslambdaric boto3
	@touch $@

setup-localstack: setup-aws $(LOCALSTACK_STAMP) ## make .venv-localstack (deploy-local and test-deploy do it themselves; it needs Python 3.11)
$(LOCALSTACK_STAMP): | $(AWS_STAMP)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "LocalStack needs Python 3.11; name one with PYTHON=...")'
	$(PYTHON) -m venv --clear $(LOCALSTACK)
	@rm -rf local/localstack/*.egg-info  # where its plugins would be looked up, of an earlier time
	$(AWS_BIN)/uv pip install --quiet --python $(LOCALSTACK)/bin/python --constraint constraints-localstack.txt --editable local/localstack
	@touch $@

setup-peers: $(PEERS_STAMP) ## make .venv-peers with other servers of Zarr and matplotlib (bench does it itself)
$(PEERS_STAMP):
	"$$($(PYTHON) infra/lambda_python.py)" -m venv --clear $(PEERS)
	if $(PEERS)/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 12))'; then \
	  PIP_CONSTRAINT=constraints-peers.txt $(PEERS)/bin/python -m pip install --quiet zarr-http-server ome-zarr 'tiled[server]' \
	    xpublish xpublish-zarr tensorstore numcodecs uvicorn uvloop httptools matplotlib && touch $@; \
	else \
	  echo "no Python 3.12 or newer here: benchmarks go without the peers, and draw no plots" >&2; rm -rf $(PEERS); \
	fi

# For this machine's processor, and for the Python that is to run it.
build-here: setup-lambda
	EMULATED_PYTHON=$$($(LAMBDA)/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])') \
	  $(MAKE) build-aws ARCHS=$(MACHINE)

# Each environment by its own pip: they mostly wait for the network.
clients: ## read links with every client of Zarr, and write docs/clients.md (needs Node, nginx, Chromium; CLIENT=name for one)
	@$(PYTHON) tests/clients/names.py "$(CLIENT)"
	$(MAKE) -j3 setup setup-clients setup-webknossos
	PYTHONPATH=tests $(BIN)/python -m clients.run $(if $(CLIENT),--only "$(CLIENT)")

test-lambda: setup build-here ## run the functions, as built, on Lambda's runtime emulator (TEST="-k name" passes options on)
	$(EMULATED) $(BIN)/python -m pytest tests/emulated $(TEST)

deploy-local: setup setup-localstack build-here ## deploy template.yaml to LocalStack on this machine, with a sample and a link to it
	@$(BIN)/python local/deploy_local.py $(DEPLOYED)

undeploy-local: setup ## end that LocalStack, and remove what it kept
	@$(BIN)/python local/deploy_local.py --end

# In a pytest of its own: pytest-localstack patches botocore.
test-deploy: setup setup-localstack build-here ## test the deployed template on LocalStack (TEST="-k name" passes options on)
	$(BIN)/python -m pip install --quiet pytest-localstack
	DEPLOYED="$(DEPLOYED)" $(BIN)/python -m pytest tests/localstack $(TEST)

smoke: setup ## check a running zarrlink from outside (URL=the address of a link)
	@$(BIN)/python infra/smoke.py "$(URL)"

smoke-stack: setup ## check a deployed stack with your own rights (STACK=zarrlink DATASET=a dataset's name)
	@$(BIN)/python infra/smoke_stack.py "$(or $(STACK),zarrlink)" "$(DATASET)"

first-user: setup ## add a stack's first user, an admin, and say where to sign in (STACK=zarrlink NAME=ann)
	@$(BIN)/python infra/first_run.py "$(or $(STACK),zarrlink)" "$(NAME)"

restore-rows: setup ## bring rows back from a copy of a table (TABLE=links COPY=links-of-yesterday IDS="gone"; no IDS only looks; STACK=zarrlink)
	@$(BIN)/python infra/restore_rows.py "$(or $(STACK),zarrlink)" "$(TABLE)" "$(COPY)" $(IDS)

check: setup setup-aws ## formatting, lint, types, layers, template
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(AWS_BIN)/cfn-lint template.yaml infra/edge_log.yaml infra/edge_watching.yaml infra/watching.yaml
	AWS_DEFAULT_REGION=eu-central-1 $(SAM) validate --lint

format: setup ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup setup-peers build-here ## measure, and write benchmarks/results.md and docs/performance.md (two hours; needs nginx and wrk; BENCH="--only lambda" for a part; SOAK_MINUTES=3)
	$(BIN)/python -m pip install --quiet granian
	$(EMULATED) $(BIN)/python benchmarks/run.py $(BENCH)

fuzz: setup ## fuzz the parsers of foreign bytes (FUZZ_SECONDS=60 each)
	$(BIN)/python -m pip install --quiet atheris
	$(BIN)/python tests/fuzz/run.py --seconds $(or $(FUZZ_SECONDS),60)

$(ZARRITA_STAMP): $(ZARRITA)/package-lock.json
	-@if command -v npm >/dev/null; then npm ci --no-audit --no-fund --silent --prefix $(ZARRITA) && touch $@; fi

faults: setup $(ZARRITA_STAMP) ## fail store, network and server, and see that no answer is wrong (FAULTS=1000000 reads, KILLED=60 seconds)
	$(BIN)/python tests/faults/run.py --reads $(or $(FAULTS),200000) --seconds $(or $(KILLED),60)

setup-audit: $(AUDIT_STAMP)
$(AUDIT_STAMP):
	$(PYTHON) -m venv $(AUDIT)
	PIP_CONSTRAINT=constraints-audit.txt $(AUDIT)/bin/python -m pip install --quiet pip-audit cyclonedx-bom detect-secrets
	@rm -f $(AUDIT)/.made-from-*; touch $@

audit: setup-audit ## known weaknesses of dependencies, bills of materials into dist/, secrets among the files (AUDIT_OPTIONS=--strict)
	$(AUDIT)/bin/python infra/audit.py $(AUDIT_OPTIONS)

build: setup build-aws ## build the wheel into dist/, and what goes to AWS into .aws-sam/
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

edge: ## put the CDN's functions (functions/edge) into template.yaml
	$(PYTHON) infra/embed_edge.py

build-aws: setup-aws edge ## build layers and functions for both processors, and assert what they weigh
	for arch in $(ARCHS); do \
	  ARCH=$$arch $(SAM) build --build-dir .aws-sam/$$arch --parameter-overrides Architecture=$$arch || exit 1; \
	done
	$(AWS_BIN)/python infra/sizes.py $(ARCHS:%=.aws-sam/%)

# What cannot be is said before anything is built. SAM knows AWS_DEFAULT_REGION alone; AWS's command line and ours look at
# AWS_REGION first. Parameters go by a file: in words SAM refuses empty values, and cuts others at their spaces.
deploy: export PARAMETERS ?=
deploy: setup ## deploy to your AWS account (PARAMETERS="DataBucketArns=arn:aws:s3:::my-volumes"; STACK=zarrlink; ARCH=x86_64)
	@$(BIN)/python infra/check_deploy.py "$(or $(STACK),zarrlink)" "$(if $(filter file,$(origin ARCH)),,$(ARCH))" .aws-sam/parameters.yaml
	@$(MAKE) --no-print-directory build-aws ARCHS=$(ARCH)
	$(if $(AWS_REGION),AWS_DEFAULT_REGION=$(AWS_REGION)) $(SAM) deploy --config-file $(CURDIR)/samconfig.toml \
	  --template-file .aws-sam/$(ARCH)/template.yaml --stack-name "$(or $(STACK),zarrlink)" \
	  --parameter-overrides file://$(CURDIR)/.aws-sam/parameters.yaml

clean: ## remove what was built and made
	rm -rf $(VENV) $(AUDIT) $(AWS) $(CLIENTS) $(JAVASCRIPT)/node_modules $(LAMBDA) $(LOCALSTACK) $(MINISTACK) $(PEERS) $(WEBKNOSSOS) \
	  build dist .aws-sam .zarrlink
