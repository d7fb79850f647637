package main

import (
	"carbonio-check/checks"
	"carbonio-check/checks/clock"
	"carbonio-check/checks/directory"
	"carbonio-check/checks/dns"
	"carbonio-check/checks/hosts"
	"carbonio-check/checks/inventory"
	"carbonio-check/checks/kafka"
	"carbonio-check/checks/mesh"
	"carbonio-check/checks/network"
	"carbonio-check/checks/postgres"
	"carbonio-check/checks/repository"
	"carbonio-check/checks/resilience"
	"carbonio-check/checks/s3"
	"carbonio-check/checks/storage"
	"carbonio-check/checks/system"
	"carbonio-check/checks/zookeeper"
)

// assemble puts the subjects together, in the order of a report: what the
// administrator wrote, what the machine is, what is between the machines, what
// runs on them, and what all of it can lose.
func assemble() (checks.Suite, error) {
	return checks.Assemble(
		inventory.Module,
		hosts.Module,
		system.Module,
		storage.Module,
		repository.Module,
		clock.Module,
		dns.Module,
		network.Module,
		s3.Module,
		directory.Module,
		mesh.Module,
		postgres.Module,
		zookeeper.Module,
		kafka.Module,
		resilience.Module,
	)
}
