package bench

import (
	"bytes"
	"cmp"
	"image/color"
	"math"
	"slices"
	"strings"

	"foreverframe/templates"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// plots returns the plots that the results are enough for.
func (r *Report) plots() (plots []templates.BenchPlot) {
	add := func(p *plot.Plot, title string) {
		if p != nil {
			plots = append(plots, templates.BenchPlot{Title: title, SVG: svg(p)})
		}
	}
	for _, g := range r.groups() {
		title := g.Name + ", " + clients(g.clients)
		switch {
		case strings.HasSuffix(g.Name, "-saturated"):
			add(g.bars("cpu"), "Processor time of an update: "+title)
		case g.Name == "idle":
			add(g.bars("memory"), "Memory of a stream: "+title)
		}
		add(g.distribution(), "How late updates are: "+title)
	}
	for _, s := range Scenarios {
		if s.Compare == "cpu" {
			add(r.growth(s, "cpu"), "Processor time of an update against the number of clients: "+s.Name)
		}
	}
	return plots
}

func newPlot() *plot.Plot {
	p := plot.New()
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.TextStyle.Font.Size = 9
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = color.Gray{230}, color.Gray{230}
	p.Add(grid)
	return p
}

// bars is a figure of each technique, nil if there are fewer than two.
func (g group) bars(name string) *plot.Plot {
	var values plotter.Values
	var names []string
	for _, result := range g.results {
		if v, ok := result.Median(name); ok {
			values = append(values, v)
			names = append(names, result.Side+"\n"+result.technique())
		}
	}
	if len(values) < 2 {
		return nil
	}
	p := newPlot()
	p.Y.Label.Text, p.Y.Min = figure(name).Title, 0
	chart, err := plotter.NewBarChart(values, 20)
	if err != nil {
		return nil
	}
	chart.Color = plotutil.Color(2)
	p.Add(chart)
	p.NominalX(names...)
	p.X.Tick.Label.Font.Size = 8
	return p
}

// distribution is the latencies of each technique by percentile, nil if there are
// none.
func (g group) distribution() *plot.Plot {
	p, lines := newPlot(), 0
	p.X.Label.Text, p.Y.Label.Text = "percentile", "ms"
	for _, result := range g.results {
		var points plotter.XYs
		for _, q := range result.Distribution {
			if q.Percentile < 100 {
				points = append(points, plotter.XY{X: 1 / (1 - q.Percentile/100), Y: max(q.MS, 0.001)})
			}
		}
		lines += addLine(p, lines, result.Side+" "+result.technique(), points)
	}
	if lines == 0 {
		return nil
	}
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.X.Tick.Marker = plot.ConstantTicks{{Value: 1, Label: "0"}, {Value: 2, Label: "50"}, {Value: 10, Label: "90"}, {Value: 100, Label: "99"}, {Value: 1000, Label: "99.9"}}
	p.Y.Tick.Marker = powers{}
	return p
}

// growth is a figure of each technique against the number of clients, nil if
// there is one number only.
func (r *Report) growth(s Scenario, name string) *plot.Plot {
	lines := map[string]plotter.XYs{}
	var order []string
	for _, result := range r.Results {
		v, ok := result.Median(name)
		if result.Scenario != s.Name || !ok {
			continue
		}
		line := result.Side + " " + result.technique()
		if !slices.Contains(order, line) {
			order = append(order, line)
		}
		lines[line] = append(lines[line], plotter.XY{X: float64(result.Clients), Y: v})
	}
	p, n := newPlot(), 0
	p.X.Label.Text, p.Y.Label.Text, p.Y.Min = "clients", figure(name).Title, 0
	for _, line := range order {
		if len(lines[line]) > 1 {
			slices.SortFunc(lines[line], func(a, b plotter.XY) int { return cmp.Compare(a.X, b.X) })
			n += addLine(p, n, line, lines[line])
		}
	}
	if n == 0 {
		return nil
	}
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, powers{}
	return p
}

// addLine adds a line and returns how many it has added.
func addLine(p *plot.Plot, n int, name string, points plotter.XYs) int {
	if len(points) < 2 {
		return 0
	}
	line, err := plotter.NewLine(points)
	if err != nil {
		return 0
	}
	line.Color, line.Dashes, line.Width = plotutil.Color(n), plotutil.Dashes(n/7), vg.Points(1.5)
	p.Add(line)
	p.Legend.Add(name, line)
	return 1
}

// powers are the ticks of a scale of logarithms: a label for each power of ten.
type powers struct{}

func (powers) Ticks(low, high float64) (ticks []plot.Tick) {
	for power := math.Floor(math.Log10(low)); power <= math.Ceil(math.Log10(high)); power++ {
		ten := math.Pow(10, power)
		ticks = append(ticks, plot.Tick{Value: ten, Label: digits(ten)})
		for i := 2.0; i < 10; i++ {
			ticks = append(ticks, plot.Tick{Value: i * ten})
		}
	}
	return slices.DeleteFunc(ticks, func(t plot.Tick) bool { return t.Value < low || t.Value > high })
}

// svg draws p as an element for a page.
func svg(p *plot.Plot) string {
	const width, height = 6 * vg.Inch, 3.6 * vg.Inch
	canvas := vgsvg.New(width, height)
	p.Draw(draw.New(canvas))
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return ""
	}
	_, element, _ := strings.Cut(b.String(), "<svg")
	return "<svg" + element
}
