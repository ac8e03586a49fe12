import Testing

@testable import kraft_bench

@Suite("The benchmark's pages")
struct PageTests {
    @Test("text means itself in HTML")
    func escaping() {
        #expect(Page.escaped("a<b> & \"c\" 'd'") == "a&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;")
        let page = Page(
            title: "<t>",
            [
                .heading("<h>"), .text("<p1>"), .pairs([("<n>", "<v>")]),
                .table(head: ["<c>"], rows: [["<d>"]]),
                .plot(
                    LinePlot(
                        title: "<pt>", xLabel: "<x>", yLabel: "<y>",
                        series: [.init(name: "<s>", points: [(1, 1)])])),
            ])
        let html = page.html()
        for word in ["t", "h", "p1", "n", "v", "c", "d", "pt", "x", "y", "s"] {
            #expect(html.contains("&lt;\(word)&gt;"))
            // `<h>` and its like can't be told from tags otherwise.
            #expect(!html.contains("<\(word)>"))
        }
    }

    @Test("a page needs nothing from elsewhere")
    func selfContained() {
        let html = Page(title: "t", [.text("x")]).html()
        for word in ["<script", "http:", "https:", "src=", "@import", "url("] {
            #expect(!html.contains(word))
        }
        #expect(html.contains("prefers-color-scheme: dark"))
    }

    @Test("what can't be drawn is left out")
    func gaps() {
        let plot = LinePlot(
            title: "t", xLabel: "x", yLabel: "y", isXLogarithmic: true, isYLogarithmic: true,
            series: [.init(name: "s", points: [(0, 1), (1, 0), (10, .nan), (10, 100)])])
        let svg = plot.svg()
        #expect(svg.split(separator: "<circle").count == 2)
        #expect(!svg.contains("nan"))
        #expect(!svg.contains("inf"))
        // No point at all is no reason to stop.
        #expect(LinePlot(title: "t", xLabel: "", yLabel: "", series: []).svg().contains("</svg>"))
    }

    @Test("an axis spans its values, and is labelled within")
    func axes() {
        for isLogarithmic in [true, false] {
            for values in [[3.0], [1, 10, 100, 1_000, 10_000], [17, 23], [0.2, 900_000]] {
                let axis = Axis(values, isLogarithmic: isLogarithmic, startsAtZero: false)
                for value in values { #expect((0...1).contains(axis.part(value))) }
                for tick in axis.ticks { #expect((-1e-9...1 + 1e-9).contains(axis.part(tick))) }
                #expect((1...12).contains(axis.ticks.count))
            }
        }
        let fromZero = Axis([400_000, 450_000], isLogarithmic: false, startsAtZero: true)
        #expect(fromZero.part(0) == 0)
    }

    @Test("large numbers get short labels")
    func labels() {
        #expect(Axis.label(0) == "0")
        #expect(Axis.label(2.5) == "2.5")
        #expect(Axis.label(50_000) == "50k")
        #expect(Axis.label(1_500_000) == "1.5M")
    }
}
