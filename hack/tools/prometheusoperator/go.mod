// The Prometheus operator, whose kinds the tests of the chart give the API server: they come inside of the module, and none of its code is compiled.
module sallyport.dev/sallyport/hack/tools/prometheusoperator

go 1.26.0

require github.com/prometheus-operator/prometheus-operator v0.85.0
