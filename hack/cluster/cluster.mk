# The local cluster; see hack/cluster/README.md. Included by the Makefile.
CLUSTER_TOOL := $(CURDIR)/.cluster/bin/cluster
IMAGE_TAR    := $(CURDIR)/.cluster/images/sallyport.tar

# NODE=no starts a control plane alone, which needs neither root nor containerd.
NODE ?= yes

##@ Cluster
$(CLUSTER_TOOL): $(wildcard hack/cluster/*.go hack/cluster/config/* hack/cluster/go.mod)
	@mkdir -p $(@D)
	cd hack/cluster && CGO_ENABLED=0 GOWORK=off go build -o $@ .

.PHONY: assets
assets: $(CLUSTER_TOOL) ## Build etcd, kube-apiserver and kubectl once and link them to .cluster/assets.
	@$(CLUSTER_TOOL) assets

.PHONY: node-assets
node-assets: $(CLUSTER_TOOL) ## Build the node's programs and images as well.
	@$(CLUSTER_TOOL) assets --all

.PHONY: cluster-up
cluster-up: $(CLUSTER_TOOL) ## Start a Kubernetes (CLUSTER=kind|current: use that one) and print its KUBECONFIG.
	@$(CLUSTER_TOOL) up $(if $(filter yes,$(NODE)),--node)

.PHONY: cluster-down
cluster-down: $(CLUSTER_TOOL) ## Stop it and leave nothing behind.
	@$(CLUSTER_TOOL) down

.PHONY: cluster-verify
cluster-verify: $(CLUSTER_TOOL) ## Prove the node on this machine: start, use, stop, compare the machine before and after.
	@$(CLUSTER_TOOL) verify
