package weir

// StageNames returns the names that the flow's reports and errors will use for
// its stages, its source and sink included, the source first. It opens nothing.
// A stage of several steps has a name for each.
func (f *Flow) StageNames() ([]string, error) {
	b, err := f.assemble()
	if err != nil {
		return nil, err
	}
	names := make([]string, len(b.stages))
	for i, st := range b.stages {
		names[i] = st.name
	}
	return names, nil
}
