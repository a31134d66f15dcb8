import { type Html, html } from '@stowage/example-shared'

export interface Line {
  readonly name: string
  /** Where the line is drawn from 0, at the left or the bottom, to 1. A gap where `y` is undefined. */
  readonly points: readonly { readonly x: number; readonly y: number | undefined }[]
  /** The last value, in words. */
  readonly last: string
  readonly color: 'first' | 'second'
}

export interface LineChart {
  readonly title: string
  /** At equal distances, from the top to the bottom. */
  readonly scale: readonly string[]
  /** At the left and at the right end. */
  readonly range: readonly [from: string, to: string]
  readonly lines: readonly Line[]
}

const width = 600
const height = 100

/**
 * Lines as SVG. The drawing is stretched to its place. Therefore the texts are outside of it, and the strokes keep their
 * width.
 */
export function lineChart({ title, scale, range, lines }: LineChart): Html {
  const summary = lines.map(({ name, last }) => `${name} ${last}`).join(', ')
  return html`<figure class="chart">
    <figcaption>
      <span class="eyebrow">${title}</span>
      <span class="chart-keys">${lines.map(legend)}</span>
    </figcaption>
    <div class="chart-plot">
      <div class="chart-scale" aria-hidden="true">${scale.map((text) => html`<span>${text}</span>`)}</div>
      <svg viewBox="0 0 ${width} ${height}" preserveAspectRatio="none" role="img"
        aria-label="${title}, ${range[0]} to ${range[1]}: ${summary}">
        <path class="chart-grid" d="${scale.map((_, row) => gridLine(row, scale.length)).join('')}"/>
        ${lines.map(({ points, color }) => html`<path class="chart-line chart-${color}" d="${pathOf(points)}"/>`)}
      </svg>
    </div>
    <p class="chart-range" aria-hidden="true">${range.map((text) => html`<span>${text}</span>`)}</p>
  </figure>`
}

function legend({ name, last, color }: Line): Html {
  return html`<span class="chart-key chart-${color}">${name} <strong>${last}</strong></span>`
}

function gridLine(row: number, rows: number): string {
  return `M0 ${round((row / (rows - 1)) * height)}H${width}`
}

/** A point between two gaps is a line without length, which round ends make visible. */
function pathOf(points: Line['points']): string {
  let isAfterGap = true
  const commands = points.map(({ x, y }) => {
    if (y === undefined) {
      isAfterGap = true
      return ''
    }
    const place = `${round(x * width)} ${round((1 - y) * height)}`
    const command = isAfterGap ? `M${place}h0` : `L${place}`
    isAfterGap = false
    return command
  })
  return commands.join('')
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
