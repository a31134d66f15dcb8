import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, test, vi } from 'vitest'

const started: ChildProcess[] = []
afterEach(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL')
})

/** Starts a program that answers requests when it receives a message. */
async function start(name: string) {
  const program = fileURLToPath(new URL(`programs/${name}.mjs`, import.meta.url))
  const child = fork(program, { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] })
  started.push(child)
  const output: string[] = []
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk) => output.push(...String(chunk).trim().split('\n')))
  const closed = once(child, 'close')
  const [{ port }] = await once(child, 'message')
  return { child, output, closed, url: `http://127.0.0.1:${port}` }
}

async function connectTo(url: string): Promise<void> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  await once(socket, 'connect')
  socket.destroy()
}

test.each(['http', 'terminus'])(
  '%s: a request that is answered after SIGTERM still reads the cache, which is closed then',
  async (name) => {
    const { child, output, closed, url } = await start(name)
    const received = once(child, 'message')
    const running = fetch(`${url}/slow`)
    await received
    child.kill('SIGTERM')
    await vi.waitFor(() => expect(connectTo(url)).rejects.toThrow('ECONNREFUSED'), 30_000)
    child.send('answer')
    const response = await running
    expect([response.status, await response.text()]).toEqual([200, 'value'])
    expect(await closed).toEqual([0, null])
    expect(output).toEqual(['responded', 'caches closed'])
  },
)

test('terminus answers a probe with the health of the caches', async () => {
  const { url } = await start('terminus')
  const response = await fetch(`${url}/health`)
  expect(response.status).toBe(200)
  expect(await response.json()).toMatchObject({
    status: 'ok',
    info: { session: { status: 'pass', driver: 'memory' } },
  })
})
