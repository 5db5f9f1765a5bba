##@ Generate

# Tools that only generate and check live in their own module, hack/tools: their dependencies stay out of the product's.
TOOL := go tool -modfile=hack/tools/go.mod

.PHONY: generate
generate: ## Generate deep copies and apply configurations of the API.
	rm -rf api/v1alpha1/applyconfiguration
	$(TOOL) controller-gen object applyconfiguration paths=./api/v1alpha1

# What the policy schema-downgrade compares, in all four kinds. The first change of a kind after a release raises it by one; test/upgrade says when.
SCHEMA := 2

.PHONY: manifests
manifests: ## Generate the CRDs in config/crd/bases and in the chart, and the alerts as an object.
	$(TOOL) controller-gen crd paths=./api/v1alpha1 output:crd:dir=config/crd/bases
	@sed -i 's|^    controller-gen.kubebuilder.io/version: .*|&\n    sso.sallyport.dev/schema: "$(SCHEMA)"|' config/crd/bases/*.yaml
	@hack/chart-files.sh

.PHONY: docs-reference
docs-reference: ## Generate docs/reference from the API and the commands, docs/metrics.md from the programs, and the set-up steps in the guides to identity providers.
	@mkdir -p docs/reference
	$(TOOL) crd-ref-docs --log-level=ERROR --source-path=api/v1alpha1 --config=hack/tools/crd-ref-docs/config.yaml --templates-dir=hack/tools/crd-ref-docs --renderer=markdown --output-path=docs/reference/crds.md
	go run ./hack/kubectlsso > docs/reference/kubectl-sso.md
	go run ./hack/metrics > docs/metrics.md
	go run ./hack/idpguides docs/guides/identity-providers

.PHONY: lint-api
lint-api: ## Check the API against Kubernetes' conventions with kube-api-linter; settings in hack/tools/kubeapilinter.
	@mkdir -p $(BIN)
	cd hack/tools && go build -o $(BIN)/kube-api-linter ./kubeapilinter
	$(BIN)/kube-api-linter ./api/v1alpha1
