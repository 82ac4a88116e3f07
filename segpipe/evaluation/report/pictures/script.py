"""Script: how the panels of the page look, and how they scroll and zoom."""

from segpipe.evaluation.report.pictures.contours import (
    BORDER,
    DASHES,
    MARGIN,
    OVER,
    THIN,
    WIDE,
)

# Of the page, which defines the colours --line, --tint and --accent.
STYLE = f"""
.panel {{ margin:18px 0 26px; break-inside:avoid }} .panel:focus-visible,
.panel button:focus-visible,.panel input:focus-visible {{ outline:3px solid
  var(--accent); outline-offset:3px }}
.panel figcaption {{ display:flex; flex-wrap:wrap; gap:4px 14px; align-items:center;
  margin-bottom:6px; font-size:.9rem }} .panel input {{ width:200px }}
.panel button {{ font:inherit; min-width:2em; border:1px solid var(--line);
  border-radius:6px; background:var(--tint); cursor:pointer }}
.columns {{ display:grid; gap:10px;
  grid-template-columns:repeat(auto-fit,minmax(min(var(--least),100%),1fr)) }}
.columns p {{ margin:.2em 0 0; font-size:.85rem }}
.picture {{ position:relative; margin:0 auto; background:#000; color:#fff;
  max-width:100%; overflow:hidden; font-weight:700; touch-action:pan-y;
  text-shadow:0 0 3px #000,0 0 3px #000,0 0 3px #000 }}
.picture svg {{ display:block; width:100%; height:100% }}
.picture span {{ position:absolute; pointer-events:none; line-height:1 }}
.edge0 {{ left:4px; top:calc(50% - .5em) }} .edge1 {{ right:4px; top:calc(50% - .5em) }}
.edge2 {{ top:3px; left:0; right:0; text-align:center }}
.edge3 {{ bottom:3px; left:0; right:0; text-align:center }}
.picture .bar {{ right:6px; bottom:6px; font-size:.7rem; display:flex;
  justify-content:flex-end; border-bottom:3px solid #fff; box-shadow:0 1px 0 #000;
  padding-bottom:2px; white-space:nowrap }}
.nothing {{ left:0; right:0; top:30%; text-align:center }}
.fine svg {{ image-rendering:pixelated }}
.picture span[hidden] {{ display:none }}
.contour path {{ fill:none; vector-effect:non-scaling-stroke; stroke-linejoin:round;
  stroke-width:var(--w); stroke-dasharray:var(--dash,none) }}
.contour text {{ fill:{OVER}; stroke:{BORDER}; paint-order:stroke; font:700 1px
  system-ui,sans-serif; font-size:calc(var(--u)*11px); stroke-width:calc(var(--u)*3px);
  text-anchor:middle; dominant-baseline:central }}
.border {{ --stroke:{BORDER} }} .solid {{ --w:{WIDE} }} .dashed {{ --w:{WIDE};
  --dash:{DASHES[0] * 1.3} {DASHES[1] * 1.3} }} .over {{ --stroke:{OVER}; --w:{THIN};
  --dash:{DASHES[0]} {DASHES[1]} }} .border.wide {{ --w:{WIDE + MARGIN} }}
.border.thin {{ --w:{THIN + MARGIN} }}
.legend {{ max-height:330px; overflow:auto }} .legend svg {{ vertical-align:middle }}
@media print {{ .panel .controls {{ display:none }} .legend {{ max-height:none;
  overflow:visible }} .picture {{ print-color-adjust:exact;
  -webkit-print-color-adjust:exact }} }}
"""

SCRIPT = """
for (const panel of document.querySelectorAll('.panel')) {
  const {id, width, height, pixel, unit} = panel.dataset, W = +width, H = +height;
  const slices = JSON.parse(panel.dataset.slices), svgs = [...panel.querySelectorAll(
    '.picture svg')], slider = panel.querySelector('input'), first = +panel.dataset.at;
  let at = first, zoom = 1, x = 0, y = 0;
  const draw = () => {
    const w = W / zoom, h = H / zoom;
    x = Math.min(Math.max(x, 0), W - w); y = Math.min(Math.max(y, 0), H - h);
    const shown = w * pixel * .3, power = 10 ** Math.floor(Math.log10(shown));
    const bar = Math.max(...[1, 2, 5].map(n => n * power).filter(n => n <= shown));
    for (const svg of svgs) {
      svg.setAttribute('viewBox', [x, y, w, h].join(' '));
      svg.style.setProperty('--u', w / (svg.clientWidth || 200));
      for (const use of svg.querySelectorAll('use'))
        use.setAttribute('href', '#' + id + '-' + at + use.dataset.part);
      const line = svg.parentNode.querySelector('.bar');
      line.textContent = +bar.toPrecision(3) + '\\u00a0' + unit;
      line.style.width = 100 * bar / pixel / w + '%';
    }
    panel.querySelectorAll('[data-empty]').forEach(one => {
      one.hidden = !JSON.parse(one.dataset.empty).includes(at) });
    panel.querySelector('output').textContent = slices[at];
    if (slider) slider.value = at;
  };
  const go = n => { at = Math.min(Math.max(n, 0), slices.length - 1); draw() };
  const scale = (factor, u = .5, v = .5) => {
    const old = zoom; zoom = Math.min(Math.max(zoom * factor, 1), 16);
    x += u * W * (1 / old - 1 / zoom); y += v * H * (1 / old - 1 / zoom); draw();
  };
  const reset = () => { zoom = 1; go(first) };
  const step = 40;
  const keys = {'+': () => scale(1.5), '=': () => scale(1.5), '-': () => scale(1 / 1.5),
    '0': reset, PageUp: () => go(at - 1), PageDown: () => go(at + 1),
    ArrowLeft: () => { x -= W / zoom / step; draw() }, ArrowRight: () => {
    x += W / zoom / step; draw() }, ArrowUp: () => { y -= H / zoom / step; draw() },
    ArrowDown: () => { y += H / zoom / step; draw() }};
  panel.addEventListener('keydown', event => {
    if (event.target !== panel || !keys[event.key]) return;
    event.preventDefault(); keys[event.key]();
  });
  if (slider) slider.addEventListener('input', () => go(+slider.value));
  for (const button of panel.querySelectorAll('button'))
    button.addEventListener('click', keys[button.dataset.key]);
  for (const svg of svgs) {
    svg.addEventListener('wheel', event => {
      const wanted = event.ctrlKey || panel.contains(document.activeElement);
      if (!wanted) return;
      event.preventDefault();
      const box = svg.getBoundingClientRect();
      if (event.ctrlKey || slices.length === 1)
        scale(event.deltaY < 0 ? 1.2 : 1 / 1.2, (event.clientX - box.left) / box.width,
          (event.clientY - box.top) / box.height);
      else go(at + Math.sign(event.deltaY));
    }, {passive: false});
    svg.addEventListener('pointerdown', event => {
      panel.focus({preventScroll: true}); svg.setPointerCapture(event.pointerId) });
    svg.addEventListener('pointermove', event => {
      if (!event.buttons || zoom === 1) return;
      x -= event.movementX * W / zoom / svg.clientWidth;
      y -= event.movementY * H / zoom / svg.clientHeight; draw();
    });
  }
  addEventListener('resize', draw); addEventListener('beforeprint', draw); draw();
}
"""

TEMPLATE = """\
<h3>{{ title }}</h3>
{% for view in views %}<div class="panel" tabindex="0" role="group"
 aria-label="{{ title }}: {{ view.words }}. Arrow keys move, + and - zoom,
 page keys change the slice, 0 goes back." data-id="{{ view.id }}"
 data-at="{{ view.at }}" data-width="{{ view.width }}" data-height="{{ view.height }}"
 data-pixel="{{ view.pixel }}" data-unit="{{ view.unit }}"
 data-slices='{{ view.slices|tojson }}'>
<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs>
{{- view.defs }}</defs></svg>
<figcaption><b>{{ view.name }}</b><output>{{ view.slices[view.at] }}</output>
<span class="soft">{{ view.note }}</span><span class="controls">
{%- if view.slices|length > 1 %}<label>Slice <input type="range" min="0"
 max="{{ view.slices|length - 1 }}" value="{{ view.at }}"></label>
{% endif %}<button type="button" data-key="+" aria-label="Zoom in">+</button>
<button type="button" data-key="-" aria-label="Zoom out">\N{MINUS SIGN}</button>
<button type="button" data-key="0">Back</button></span></figcaption>
<div class="columns" style="--least:{{ view.least }}px">
{% for column in view.columns %}<div><div class="picture{{ ' fine' if view.fine }}"
 style="aspect-ratio:{{ view.width }}/{{ view.height }};width:{{ view.screen }}px"><svg
 role="img" aria-label="{{ column.words }}" preserveAspectRatio="none"
 viewBox="0 0 {{ view.width }} {{ view.height }}" style="--u:{{ view.user }}">
{%- for part, look in column.uses %}<use href="#{{ view.id }}-{{ view.at }}{{ part }}"
 data-part="{{ part }}"{% if look %} class="{{ look }}"{% endif %}/>{% endfor %}</svg>
{%- for letter in view.edges %}<span class="edge{{ loop.index0 }}">{{ letter }}</span>
{%- endfor %}{% if column.empty %}<span class="nothing"
 data-empty="{{ column.empty|tojson }}"{{ ' hidden' if view.at not in column.empty }}>
{{- column.nothing }}</span>{% endif %}<span class="bar"
 style="width:{{ view.bar[0] }}%">{{ view.bar[1] }}</span></div>
<p>{{ column.below }}</p></div>
{% endfor %}</div></div>
{% endfor %}<div class="wide legend" tabindex="0" role="region"
 aria-label="Structures of {{ title }}"><table>
<thead><tr>{% for name in legend.names %}<th>{{ name }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in legend.rows %}<tr><td>{% if row.colour %}<svg width="34"
 height="10" aria-hidden="true"><path d="M0 5h34" stroke="{{ border }}"
 stroke-width="6"/><path d="M1 5h32" stroke="{{ row.colour }}" stroke-width="3"/></svg>
{% endif %} {{ row.name }}</td>{% for cell in row.cells %}<td>{{ cell }}</td>
{%- endfor %}</tr>
{% endfor %}</tbody></table></div>
{% for note in notes %}<p class="soft">{{ note }}</p>
{% endfor %}"""
