module sallyport.dev/sallyport/hack/cluster

go 1.26.0
