import type { MetricFamily, Sample } from './family.ts'

export const textType = 'text/plain; version=0.0.4; charset=utf-8'
export const openMetricsType = 'application/openmetrics-text; version=1.0.0; charset=utf-8'

/**
 * Renders metrics in the text format of Prometheus, or in that of OpenMetrics.
 *
 * @see https://prometheus.io/docs/instrumenting/exposition_formats/
 * @see https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md
 */
export function renderFamilies(families: readonly MetricFamily[], isOpenMetrics: boolean): string {
  const lines = families
    .filter(({ samples }) => samples.length > 0)
    .flatMap((family) => linesOf(family, isOpenMetrics))
  if (isOpenMetrics) lines.push('# EOF')
  return `${lines.join('\n')}\n`
}

function linesOf({ name, help, type, samples }: MetricFamily, isOpenMetrics: boolean): string[] {
  // OpenMetrics names the family of a counter without the suffix of its samples.
  const title = isOpenMetrics && type === 'counter' ? name.replace(/_total$/, '') : name
  return [
    `# HELP ${title} ${help}`,
    `# TYPE ${title} ${type}`,
    ...samples.map((sample) => lineOf(name, sample)),
  ]
}

function lineOf(name: string, { suffix, labels, value }: Sample): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escapeLabel(text)}"`)
  return `${name}${suffix}{${pairs.join(',')}} ${value}`
}

function escapeLabel(text: string): string {
  return text.replace(/[\\"\n]/g, (character) => (character === '\n' ? '\\n' : `\\${character}`))
}

/** Whether a client prefers OpenMetrics, by its header `Accept`. */
export function prefersOpenMetrics(accept: string | undefined): boolean {
  const qualities = (accept ?? '').split(',').map((part) => {
    const [type = '', ...parameters] = part.split(';').map((each) => each.trim())
    const quality = parameters.find((each) => each.startsWith('q='))
    return { type: type.toLowerCase(), quality: Number(quality?.slice(2) ?? 1) }
  })
  const qualityOf = (wanted: string) =>
    Math.max(0, ...qualities.filter(({ type }) => type === wanted).map(({ quality }) => quality))
  const openMetrics = qualityOf('application/openmetrics-text')
  return openMetrics > 0 && openMetrics >= qualityOf('text/plain')
}
