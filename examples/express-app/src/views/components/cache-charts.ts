import { type Html, html } from '@stowage/example-shared'
import { historyMs, type Point } from '../../telemetry/history.ts'
import { percentage, timing } from './format.ts'
import { type Line, lineChart } from './line-chart.ts'

/** The scale of durations is logarithmic: a hit takes a thousandth of a load. */
const [shortestMs, longestMs] = [0.01, 10_000]
const durationScale = ['10 s', '100 ms', '1 ms', '0.01 ms']
const range = ['10 minutes ago', 'now'] as const

/** The hit ratio and the duration of calls in the last minutes. */
export function cacheCharts(points: readonly Point[]): Html {
  if (points.every(({ medianMs }) => medianMs === undefined))
    return html`<p class="charts quiet">No calls in the last 10 minutes.</p>`
  const ratio = lineOf('last minute', 'first', points, ({ hitRatio }) => hitRatio, percentage)
  const median = lineOf('median', 'first', points, ({ medianMs }) => medianMs, timing, heightOf)
  const slowest = lineOf('99 %', 'second', points, ({ p99Ms }) => p99Ms, timing, heightOf)
  return html`<div class="charts">
    ${lineChart({ title: 'Hit ratio', scale: ['100%', '50%', '0%'], range, lines: [ratio] })}
    ${lineChart({ title: 'Duration of calls', scale: durationScale, range, lines: [slowest, median] })}
  </div>`
}

function lineOf(
  name: string,
  color: Line['color'],
  points: readonly Point[],
  read: (point: Point) => number | undefined,
  format: (value: number) => string,
  toHeight: (value: number) => number = (value) => value,
): Line {
  const last = points.at(-1)
  const value = last && read(last)
  return {
    name,
    color,
    last: value === undefined ? 'no calls' : format(value),
    points: points.map((point) => {
      const value = read(point)
      return {
        x: 1 - point.ageMs / historyMs,
        y: value === undefined ? undefined : toHeight(value),
      }
    }),
  }
}

function heightOf(ms: number): number {
  const height = Math.log(ms / shortestMs) / Math.log(longestMs / shortestMs)
  return Math.min(1, Math.max(0, height))
}
