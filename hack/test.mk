##@ Check

# What the tests run for real: a browser, IdPs, proxies, a database and a syslog receiver.
TEST_PACKAGES := ca-certificates openssl jq tzdata chromium fonts-dejavu-core nginx-light haproxy simplesamlphp php-cli php-xml php-mbstring php-curl \
	php-sqlite3 prometheus python3-pysaml2 xmlsec1 postgresql rsyslog rsyslog-openssl node:nodejs npm:npm

.PHONY: test-deps
test-deps: ## Install what the tests need (Debian, root), or say what is missing.
	@hack/apt.sh $(TEST_PACKAGES)

.PHONY: programs
programs: ## Build everything that tests run and no Debian package brings, the node's programs too; one after the other, so that each finds what the others have compiled.
	@$(MAKE) --no-print-directory build && $(MAKE) --no-print-directory node-assets && $(MAKE) --no-print-directory proxies

.PHONY: proxies
proxies: ## Build Caddy and Traefik once; no Debian package brings them.
	@go run ./hack/proxies/cmd

.PHONY: samples
samples: ## Have Envoy Gateway's translator, built once in minutes, read its objects in docs/proxies/kubernetes.md; fails when it makes something else of them than before.
	go test -count=1 -timeout 60m -run TestEnvoyGatewayTakesThePagesObjects ./test/proxies -translate
	@git diff --exit-code -- test/proxies/testdata/envoygateway || { echo "read what changed, and commit it" >&2; exit 1; }

.PHONY: test
test: test-deps assets proxies build ## Everything that needs no cluster node: unit, golden, real API server, stores, IdPs, browser, proxies.
	go test -vet=off -timeout 20m ./... # lint vets
	cd hack/tools && go test ./sbom
	cd hack/cluster && GOWORK=off go test .
	cd hack/tools/grafana && go test -count=1 . # the dashboards lie outside of its module: go test would not see them change
	cd test/gitops && go test -vet=off -count=1 . # the programs, too, are none of its own

.PHONY: e2e
e2e: ## The product as pods on a real node; leaves nothing behind.
	@hack/test-e2e.sh

RELIABILITY := Crash|NoFault|EveryTransition|EveryField|EveryMistake|Expir|Whatever|Killed|StoreIsDown|FailsOver|Failover|DiskIsFull|Backup|Steady|Clock|Ahead|Upgrade|Objects|Schema|Earlier|Later|RotatedAuthority|ABundleVerifies
RELIABILITY_PACKAGES := ./test/controllers ./test/replicas ./test/upgrade ./internal/store ./internal/session/... ./internal/trust ./internal/web/outbox
.PHONY: reliability
reliability: assets ## What was broken on purpose and what it came to, as a table; docs/reliability.md explains it.
	@go test -count=1 -p 1 -v -timeout 20m -run '$(RELIABILITY)' $(RELIABILITY_PACKAGES) | awk -v packages='$(RELIABILITY_PACKAGES)' -f hack/reliability.awk

.PHONY: fuzz
fuzz: ## Every fuzz target for FUZZTIME (10m each); TARGETS=REGEXP picks some.
	@hack/fuzz.sh

.PHONY: vulncheck
vulncheck: ## Known vulnerabilities in what the programs call; asks https://vuln.go.dev, so it is no part of CI without a network.
	$(TOOL) govulncheck ./cmd/... || { echo "If the database could not be reached: GOVULNDB=URL or file://DIR names a copy of it." >&2; exit 1; }

# What gosec cannot see, each held by tests instead: integers bounded where they are parsed (G115), files that the programs' own flags name (G304, G703), the
# cookies' attributes (G124), addresses that were checked before (G704, G710). A module of its own: it brings more libraries than the product.
GOSEC_EXCEPT := G115,G124,G304,G703,G704,G710
.PHONY: gosec
gosec: ## Look for insecure code; minutes the first time, so it is no part of lint.
	@mkdir -p $(BIN)
	cd hack/gosec && go build -o $(BIN)/gosec github.com/securego/gosec/v2/cmd/gosec
	$(BIN)/gosec -quiet -exclude-generated -exclude-dir=samltest -exclude-dir=storetest -severity=medium -exclude=$(GOSEC_EXCEPT) ./internal/... ./controllers/... ./cmd/...

.PHONY: lint
lint: lint-api ## gofmt, go vet, staticcheck, kube-api-linter.
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$unformatted" ]; then echo "gofmt would change: $$unformatted" >&2; exit 1; fi
	go vet -tags e2e ./...
	cd hack/cluster && go vet ./...
	cd test/gitops && go vet .
	$(TOOL) staticcheck -tags e2e ./...

.PHONY: verify
verify: generate manifests docs-reference ## Fail when generated files are not up to date.
	@if [ -n "$$(git status --porcelain -- api config/crd config/prometheus charts docs/reference docs/metrics.md docs/guides/identity-providers)" ]; then git status --short -- api config/crd config/prometheus charts docs/reference docs/metrics.md docs/guides/identity-providers; echo "generated files are not up to date: run 'make generate manifests docs-reference' and commit" >&2; exit 1; fi

.PHONY: bench
bench: assets build ## Ratios against peers and limits; tables, and .bench/results.json. BENCH='-only NAME' for one table.
	@hack/bench.sh $(BENCH)

##@ Deploy
KUBECTL ?= $(if $(wildcard $(ROOT)/.cluster/assets/kubectl),$(ROOT)/.cluster/assets/kubectl,kubectl)

.PHONY: install
install: ## Install the CRDs into the current cluster.
	$(KUBECTL) apply --server-side -k config/crd

.PHONY: uninstall
uninstall: ## Remove the CRDs, and with them every object of ours, from the current cluster.
	$(KUBECTL) delete --ignore-not-found -k config/crd

.PHONY: deploy
deploy: ## Install the CRDs, the operator and the admission policies into the current cluster.
	$(KUBECTL) apply --server-side -k config/default
	$(KUBECTL) -n sallyport-system rollout status deployment/sallyport-operator --timeout=180s

.PHONY: undeploy
undeploy: ## Remove what deploy installed.
	$(KUBECTL) delete --ignore-not-found -k config/default

.PHONY: build-installer
build-installer: ## Write dist/install.yaml: one file that installs everything.
	@mkdir -p dist
	$(KUBECTL) kustomize config/default > dist/install.yaml
	@echo "wrote dist/install.yaml"
