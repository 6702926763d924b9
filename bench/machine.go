package main

import (
	"os"
	"os/exec"
	"strings"
)

// cpuName returns the name of the processor, if the system reports it.
func cpuName() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	return "unknown processor"
}

// load returns the load averages, if the system reports them: a busy machine
// spoils a run.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(text))
	return strings.Join(fields[:min(3, len(fields))], " ")
}

// toolVersions returns the versions of the programs that are measured, or that
// they are not present.
func toolVersions() []string {
	var out []string
	for _, name := range []string{"cp", "pv", "pigz", "node", "nginx"} {
		flag := "--version"
		if name == "nginx" {
			flag = "-v"
		}
		text, err := exec.Command(name, flag).CombinedOutput()
		if err != nil {
			out = append(out, name+" not present")
			continue
		}
		line, _, _ := strings.Cut(string(text), "\n")
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, name) {
			line = name + " " + line
		}
		out = append(out, line)
	}
	return out
}
