import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { connect as connectTls } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { type MemcachedServer, startMemcached } from '@stowage/test-servers'
import {
  type ConfigurationEndpoint,
  type ConfigurationEndpointOptions,
  configurationEndpoint,
} from '@stowage/testing'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'

const question = 'config get cluster\r\n'
const legacyQuestion = 'get AmazonElastiCache:cluster\r\n'

let server: MemcachedServer
let node: string
const stopping: (() => unknown)[] = []

beforeAll(async () => {
  server = await startMemcached()
  node = `127.0.0.1:${server.port}`
})
afterAll(() => server.stop())
afterEach(async () => {
  for (const stop of stopping.splice(0).reverse()) await stop()
})

async function start(
  options: Partial<ConfigurationEndpointOptions> = {},
): Promise<ConfigurationEndpoint> {
  const endpoint = await configurationEndpoint({ nodes: [node], ...options })
  stopping.push(() => endpoint.stop())
  return endpoint
}

/** A connection that sends and then waits for an answer that ends so. */
class Talk {
  readonly socket: Socket
  readonly pieces: string[] = []

  constructor(port: number, socket: Socket = connect(port, '127.0.0.1')) {
    this.socket = socket
    socket.setEncoding('latin1')
    socket.on('data', (piece: string) => this.pieces.push(piece))
    socket.on('error', () => {})
    stopping.push(() => socket.destroy())
  }

  async ask(text: string | Buffer, end: string): Promise<string> {
    this.pieces.length = 0
    this.socket.write(text)
    await vi.waitFor(() => expect(this.pieces.join('').endsWith(end)).toBe(true), 10_000)
    return this.pieces.join('')
  }

  get closed(): Promise<void> {
    return new Promise((resolve) => {
      if (this.socket.closed) resolve()
      else this.socket.once('close', () => resolve())
    })
  }
}

function answerOf(version: number, nodes: string, head = 'CONFIG cluster'): string {
  const text = `${version}\n${nodes}\n`
  return `${head} 0 ${text.length}\r\n${text}\r\nEND\r\n`
}

const wireForm = () => `127.0.0.1|127.0.0.1|${server.port}`

describe('answers', () => {
  test('both questions, as a cluster does', async () => {
    const { port } = await start({
      version: 12,
      nodes: [node, 'b.cache:11212', '[::1]:3', 'c|10.0.0.1|4'],
    })
    const talk = new Talk(port)
    const nodes = `${wireForm()} b.cache||11212 ::1|::1|3 c|10.0.0.1|4`
    expect(await talk.ask(question, 'END\r\n')).toBe(answerOf(12, nodes))
    const legacy = answerOf(12, nodes, 'VALUE AmazonElastiCache:cluster')
    expect(await talk.ask(legacyQuestion, 'END\r\n')).toBe(legacy)
  })

  test('with what was set last; the version rises with the membership alone', async () => {
    const endpoint = await start()
    const talk = new Talk(endpoint.port)
    endpoint.scale(['a:1', 'b:2'])
    expect(await talk.ask(question, 'END\r\n')).toBe(answerOf(2, 'a||1 b||2'))
    endpoint.nodes = ['a|10.0.0.9|1', 'b:2']
    expect(await talk.ask(question, 'END\r\n')).toBe(answerOf(2, 'a|10.0.0.9|1 b||2'))
    endpoint.version = 1
    expect(await talk.ask(question, 'END\r\n')).toBe(answerOf(1, 'a|10.0.0.9|1 b||2'))
    expect(endpoint.asked).toBe(3)
  })

  test('as an old engine, a plain memcached, or with anything else', async () => {
    const endpoint = await start()
    const talk = new Talk(endpoint.port)
    endpoint.answer = 'legacy'
    expect(await talk.ask(question, '\r\n')).toBe('ERROR\r\n')
    expect(await talk.ask(legacyQuestion, 'END\r\n')).toContain('VALUE AmazonElastiCache:cluster')
    endpoint.answer = 'plain'
    expect(await talk.ask(question, '\r\n')).toBe('ERROR\r\n')
    expect(await talk.ask(legacyQuestion, '\r\n')).toBe('END\r\n')
    endpoint.answer = { raw: 'HTTP/1.1 400\r\n' }
    expect(await talk.ask(question, '\r\n')).toBe('HTTP/1.1 400\r\n')
    endpoint.answer = 'configuration'
    endpoint.claimedBytes = 80
    expect(await talk.ask(question, 'END\r\n')).toContain('CONFIG cluster 0 80\r\n1\n')
  })

  test('late, in pieces, or not at all', async () => {
    const endpoint = await start()
    const talk = new Talk(endpoint.port)
    endpoint.fragmentBytes = 1
    endpoint.delayMs = 50
    const asked = performance.now()
    const answer = await talk.ask(question, 'END\r\n')
    // A timer may come a millisecond early.
    expect(performance.now() - asked).toBeGreaterThan(45)
    expect(answer).toBe(answerOf(1, wireForm()))
    expect(talk.pieces.length).toBeGreaterThan(answer.length / 2)
    endpoint.answer = 'silence'
    talk.pieces.length = 0
    talk.socket.write(question)
    expect(await new Talk(endpoint.port).ask('version\r\n', '\r\n')).toContain('VERSION')
    expect(talk.pieces).toEqual([])
  })
})

describe('passes on', () => {
  test('text commands, and values that look like a question', async () => {
    const { port } = await start()
    const talk = new Talk(port)
    const value = `x\r\n${question}${legacyQuestion}`
    const set = `set key 0 0 ${value.length}\r\n${value}\r\n`
    // Also where the line itself arrives in pieces.
    for (const part of [set.slice(0, 5), set.slice(5, 30)]) {
      talk.socket.write(part)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    expect(await talk.ask(set.slice(30), '\r\n')).toBe('STORED\r\n')
    expect(await talk.ask('get key\r\n', 'END\r\n')).toContain(value)
    expect(await talk.ask('ms key 0\r\n\r\n', '\r\n')).toBe('HD\r\n')
    expect(await talk.ask(question, 'END\r\n')).toBe(answerOf(1, wireForm()))
  })

  test('the binary protocol, and large values', async () => {
    const { port } = await start()
    const binary = new Talk(port)
    const noop = Buffer.alloc(24)
    noop.set([0x80, 0x0a])
    await vi.waitFor(async () => expect((await binary.ask(noop, '\0')).length).toBe(24))
    const talk = new Talk(port)
    const value = 'v'.repeat(900_000)
    expect(await talk.ask(`set large 0 0 ${value.length}\r\n${value}\r\n`, '\r\n')).toBe(
      'STORED\r\n',
    )
    expect(await talk.ask('get large\r\n', 'END\r\n')).toContain(value)
  })

  test('to another memcached where it is told so', async () => {
    const { port } = await start({ nodes: ['nowhere.invalid:1'], target: node })
    expect(await new Talk(port).ask('version\r\n', '\r\n')).toContain('VERSION')
  })

  test('a connection ends with the one behind it', async () => {
    const { port } = await start({ target: '127.0.0.1:1' })
    const talk = new Talk(port)
    expect(await talk.ask(question, 'END\r\n')).toContain('CONFIG')
    talk.socket.write('version\r\n')
    await talk.closed
  })
})

describe('fails', () => {
  test('by refusing, by cutting, and by being away', async () => {
    const endpoint = await start()
    const talk = new Talk(endpoint.port)
    await talk.ask('version\r\n', '\r\n')
    endpoint.refusing = true
    await new Talk(endpoint.port).closed
    expect(await talk.ask('version\r\n', '\r\n')).toContain('VERSION')
    endpoint.cut()
    await talk.closed
    const { port } = endpoint
    await endpoint.stop()
    endpoint.refusing = false
    await new Talk(port).closed
    await endpoint.listen(port)
    expect(await new Talk(port).ask(question, 'END\r\n')).toContain('CONFIG')
  })

  test('to listen on a port that is taken', async () => {
    await expect(configurationEndpoint({ nodes: [node], port: server.port })).rejects.toThrow(
      'EADDRINUSE',
    )
  })
})

test('speaks TLS', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'stowage-tls-'))
  stopping.push(() => rmSync(folder, { recursive: true }))
  const files = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') }
  const request = [
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-days',
    '2',
    '-subj',
    '/CN=cache',
  ]
  execFileSync('openssl', [...request, '-keyout', files.key, '-out', files.cert], {
    stdio: 'ignore',
  })
  const cert = readFileSync(files.cert)
  const endpoint = await start({ tls: { cert, key: readFileSync(files.key) } })
  const secure = connectTls({
    port: endpoint.port,
    host: '127.0.0.1',
    ca: cert,
    servername: 'cache',
  })
  const talk = new Talk(endpoint.port, secure)
  expect(await talk.ask('version\r\n', '\r\n')).toContain('VERSION')
  expect(await talk.ask(question, 'END\r\n')).toContain('CONFIG')
  const plain = new Talk(endpoint.port)
  plain.socket.write(question)
  await plain.closed
  endpoint.cut()
  await talk.closed
})

describe('the command', () => {
  const path = fileURLToPath(new URL('../bin/stowage-configuration-endpoint.js', import.meta.url))

  test('serves, and takes new nodes on its standard input', async () => {
    const child = spawn(process.execPath, [
      path,
      '--port',
      '0',
      '--nodes',
      `${node},b:2`,
      '--version',
      '3',
    ])
    stopping.push(async () => {
      child.kill()
      await once(child, 'exit')
    })
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    const { value: line } = await lines.next()
    expect(line).toMatch(/^version 3 on port \d+: /)
    const port = Number(/port (\d+)/.exec(line)?.[1])
    const talk = new Talk(port)
    expect(await talk.ask(question, 'END\r\n')).toBe(answerOf(3, `${wireForm()} b||2`))
    child.stdin.write(`${node}\n`)
    expect((await lines.next()).value).toBe(`version 4 on port ${port}: ${node}`)
    expect(await talk.ask(question, 'END\r\n')).toBe(answerOf(4, wireForm()))
  })

  test.each([
    [[], '--nodes is missing'],
    [['--node', 'a:1'], "Unknown option '--node'"],
  ])('explains itself when called with %j', async (args, problem) => {
    const child = spawn(process.execPath, [path, ...args])
    let text = ''
    child.stderr.on('data', (chunk) => {
      text += chunk
    })
    const [code] = await once(child, 'close')
    expect(code).toBe(2)
    expect(text).toContain(problem)
    expect(text).toContain('--target')
  })
})
