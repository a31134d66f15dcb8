import { AppProcess, type Variables } from '@stowage/example-shared/testing'
import { startMemcached } from '@stowage/test-servers'
import { configurationEndpoint } from '@stowage/testing'
import { describe, expect, it } from 'vitest'

const main = new URL('../dist/main.js', import.meta.url)

function start(variables: Variables): AppProcess {
  return new AppProcess(main, variables)
}

/** The counts printed during a step, from its title to the next one. */
function countsOf(text: string, title: string): { hits: number; errors: number; wrong: number }[] {
  const step = text.slice(text.indexOf(title)).split(/^(?=\S)/m)[0] ?? ''
  const counts = /(\d+) hits +\d+ misses +(\d+) errors +(\d+) wrong/g
  return [...step.matchAll(counts)].map(([, hits, errors, wrong]) => ({
    hits: Number(hits),
    errors: Number(errors),
    wrong: Number(wrong),
  }))
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}

describe.concurrent('the example', () => {
  it('observes each change while it runs, and has errors only while a node is down', async () => {
    const app = start({ PACE: '1s' })
    expect(await app.exitCode()).toBe(0)
    expect(app.stderr).toBe('')
    const titles = [
      'The cluster has three nodes',
      'node-4 is added',
      'node-2 fails',
      'node-2 is replaced',
      'node-4 is removed',
    ]
    const steps = titles.map((title) => countsOf(app.stdout, title))
    for (const counts of steps) {
      expect(sum(counts.map(({ hits }) => hits))).toBeGreaterThan(0)
      expect(sum(counts.map(({ wrong }) => wrong))).toBe(0)
      const { errors } = counts.at(-1) as { errors: number }
      expect(errors > 0).toBe(counts === steps[2])
    }
    expect(app.stdout).toContain('version 2: node-4 added')
    expect(app.stdout).toContain('version 2: node-2 moved to 127.0.0.2')
    expect(app.stdout).toContain('version 3: node-4 removed')
  })

  it('uses the configured endpoint until it receives a signal', async () => {
    const server = await startMemcached()
    const endpoint = await configurationEndpoint({ nodes: [`mine|127.0.0.1|${server.port}`] })
    const address = `127.0.0.1:${endpoint.port}`
    const app = start({ PACE: '200ms', MEMCACHED_CONFIGURATION_ENDPOINT: address })
    await expect.poll(() => app.stdout, { timeout: 20_000 }).toMatch(/[1-9]\d* hits.*mine up/)
    expect(await app.stop()).toBe(0)
    expect(app.stdout).toMatch(/^ {3}nodes, version 1: 1 found\n/)
    await endpoint.stop()
    await server.stop()
  })

  it('reports invalid variables', async () => {
    const app = start({ MEMCACHED_CONFIGURATION_ENDPOINT: 'a:b', PACE: '1' })
    expect(await app.exitCode()).toBe(1)
    expect(app.stderr).toMatch(/^ {2}PACE=1: /m)
    expect(app.stderr).toMatch(/^ {2}MEMCACHED_CONFIGURATION_ENDPOINT=a:b: /m)
  })
})
