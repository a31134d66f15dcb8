import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { startMemcached } from '@stowage/test-servers'
import { configurationEndpoint } from '@stowage/testing'
import { describe, expect, it } from 'vitest'

const main = fileURLToPath(new URL('../dist/main.js', import.meta.url))

interface Run {
  readonly child: ChildProcess
  readonly ended: Promise<readonly unknown[]>
  stdout: string
  stderr: string
}

function start(variables: Readonly<Record<string, string>>): Run {
  const { PATH = '', HOME = '' } = process.env
  const child = spawn(process.execPath, [main], { env: { PATH, HOME, ...variables } })
  const run: Run = { child, ended: once(child, 'close'), stdout: '', stderr: '' }
  child.stdout.on('data', (chunk) => {
    run.stdout += chunk
  })
  child.stderr.on('data', (chunk) => {
    run.stderr += chunk
  })
  return run
}

/** The numbers of the lines of a scene, from its title to the next. */
function linesOf(text: string, title: string): { hits: number; errors: number; wrong: number }[] {
  const scene = text.slice(text.indexOf(title)).split(/^(?=\S)/m)[0] ?? ''
  const numbers = /(\d+) hits +\d+ misses +(\d+) errors +(\d+) wrong/g
  return [...scene.matchAll(numbers)].map(([, hits, errors, wrong]) => ({
    hits: Number(hits),
    errors: Number(errors),
    wrong: Number(wrong),
  }))
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}

describe.concurrent('the example', () => {
  it('sees each change while it runs, and fails only for the node that is dead', async () => {
    const run = start({ PACE: '1s' })
    expect(await run.ended).toEqual([0, null])
    expect(run.stderr).toBe('')
    const titles = [
      'Three nodes',
      'node-4 is added',
      'node-2 dies',
      'node-2 is rep',
      'node-4 is ta',
    ]
    const scenes = titles.map((title) => linesOf(run.stdout, title))
    for (const lines of scenes) {
      expect(sum(lines.map(({ hits }) => hits))).toBeGreaterThan(0)
      expect(sum(lines.map(({ wrong }) => wrong))).toBe(0)
      const { errors } = lines.at(-1) as { errors: number }
      expect(errors > 0).toBe(lines === scenes[2])
    }
    expect(run.stdout).toContain('version 2: node-4 joins')
    expect(run.stdout).toContain('version 2: node-2 is at 127.0.0.2 now')
    expect(run.stdout).toContain('version 3: node-4 leaves')
  })

  it('uses the endpoint it is given, until it is told to end', async () => {
    const server = await startMemcached()
    const endpoint = await configurationEndpoint({ nodes: [`mine|127.0.0.1|${server.port}`] })
    const address = `127.0.0.1:${endpoint.port}`
    const run = start({ PACE: '200ms', MEMCACHED_CONFIGURATION_ENDPOINT: address })
    await expect.poll(() => run.stdout, { timeout: 20_000 }).toMatch(/[1-9]\d* hits.*mine up/)
    run.child.kill('SIGTERM')
    expect(await run.ended).toEqual([0, null])
    expect(run.stdout).toMatch(/^ {3}nodes, version 1: 1 found\n/)
    await endpoint.stop()
    await server.stop()
  })

  it('says what is wrong with its environment', async () => {
    const run = start({ MEMCACHED_CONFIGURATION_ENDPOINT: 'a:b', PACE: '1' })
    expect(await run.ended).toEqual([1, null])
    expect(run.stderr).toMatch(/^ {2}PACE=1: /m)
    expect(run.stderr).toMatch(/^ {2}MEMCACHED_CONFIGURATION_ENDPOINT=a:b: /m)
  })
})
