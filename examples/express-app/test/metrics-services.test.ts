import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { parse } from 'yaml'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const { services } = parse(readFileSync(join(root, 'docker-compose.yml'), 'utf8'))

/** The files of a service: in this repository, and where the container has them. */
function filesOf(service: string): { source: string; target: string }[] {
  return services[service].volumes.map((volume: string) => {
    const [source, target] = volume.split(':') as [string, string]
    return { source: join(root, source), target }
  })
}

it('promtool accepts the configuration of the Prometheus service', () => {
  const folder = mkdtempSync(join(tmpdir(), 'stowage-prometheus-'))
  for (const { source, target } of filesOf('prometheus'))
    copyFileSync(source, join(folder, basename(target)))
  const checked = execFileSync('promtool', ['check', 'config', join(folder, 'prometheus.yml')])
  rmSync(folder, { recursive: true })
  expect(String(checked)).toMatch(/SUCCESS: \d+ rules found/)
})

it('the Grafana service has the board, and Prometheus as its default data source', () => {
  const contents = Object.fromEntries(
    filesOf('grafana').map(({ source, target }) => [target, parse(readFileSync(source, 'utf8'))]),
  )
  const [boards] = contents['/etc/grafana/provisioning/dashboards/stowage.yml'].providers
  const board = filesOf('grafana').find(({ target }) => target.endsWith('.json'))
  expect(dirname(board?.target ?? '')).toBe(boards.options.path)
  const [source] = contents['/etc/grafana/provisioning/datasources/stowage.yml'].datasources
  const { command } = services.prometheus
  expect(command).toContain(`--web.listen-address=${new URL(source.url).host}`)
  expect(source.isDefault).toBe(true)
})
