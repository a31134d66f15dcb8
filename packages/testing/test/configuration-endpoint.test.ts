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

const query = 'config get cluster\r\n'
const legacyQuery = 'get AmazonElastiCache:cluster\r\n'

let server: MemcachedServer
let node: string
const cleanups: (() => unknown)[] = []

beforeAll(async () => {
  server = await startMemcached()
  node = `127.0.0.1:${server.port}`
})
afterAll(() => server.stop())
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function start(
  options: Partial<ConfigurationEndpointOptions> = {},
): Promise<ConfigurationEndpoint> {
  const endpoint = await configurationEndpoint({ nodes: [node], ...options })
  cleanups.push(() => endpoint.stop())
  return endpoint
}

class Client {
  readonly socket: Socket
  /** The chunks received since the last request. */
  readonly chunks: string[] = []

  constructor(port: number, socket: Socket = connect(port, '127.0.0.1')) {
    this.socket = socket
    socket.setEncoding('latin1')
    socket.on('data', (chunk: string) => this.chunks.push(chunk))
    socket.on('error', () => {})
    cleanups.push(() => socket.destroy())
  }

  /** Sends a request, and waits for a reply that ends in `end`. */
  async request(bytes: string | Buffer, end: string): Promise<string> {
    this.chunks.length = 0
    this.socket.write(bytes)
    await vi.waitFor(() => expect(this.chunks.join('').endsWith(end)).toBe(true), 10_000)
    return this.chunks.join('')
  }

  get closed(): Promise<void> {
    return new Promise((resolve) => {
      if (this.socket.closed) resolve()
      else this.socket.once('close', () => resolve())
    })
  }
}

/** The reply to a configuration query; `nodes` in the notation of the protocol. */
function replyOf(version: number, nodes: string, head = 'CONFIG cluster'): string {
  const text = `${version}\n${nodes}\n`
  return `${head} 0 ${text.length}\r\n${text}\r\nEND\r\n`
}

const nodeInReply = () => `127.0.0.1|127.0.0.1|${server.port}`

describe('a configuration query', () => {
  test('has two commands, whose replies list the nodes as host|ip|port', async () => {
    const { port } = await start({
      version: 12,
      nodes: [node, 'b.cache:11212', '[::1]:3', 'c|10.0.0.1|4'],
    })
    const client = new Client(port)
    const nodes = `${nodeInReply()} b.cache||11212 ::1|::1|3 c|10.0.0.1|4`
    expect(await client.request(query, 'END\r\n')).toBe(replyOf(12, nodes))
    const legacy = replyOf(12, nodes, 'VALUE AmazonElastiCache:cluster')
    expect(await client.request(legacyQuery, 'END\r\n')).toBe(legacy)
  })

  test('returns a new version after scale(), but not after an assignment of the nodes', async () => {
    const endpoint = await start()
    const client = new Client(endpoint.port)
    endpoint.scale(['a:1', 'b:2'])
    expect(await client.request(query, 'END\r\n')).toBe(replyOf(2, 'a||1 b||2'))
    endpoint.nodes = ['a|10.0.0.9|1', 'b:2']
    expect(await client.request(query, 'END\r\n')).toBe(replyOf(2, 'a|10.0.0.9|1 b||2'))
    endpoint.version = 1
    expect(await client.request(query, 'END\r\n')).toBe(replyOf(1, 'a|10.0.0.9|1 b||2'))
    expect(endpoint.queryCount).toBe(3)
  })

  test('can get the reply of an old engine or a standalone server, or any bytes', async () => {
    const endpoint = await start()
    const client = new Client(endpoint.port)
    endpoint.reply = 'legacy'
    expect(await client.request(query, '\r\n')).toBe('ERROR\r\n')
    expect(await client.request(legacyQuery, 'END\r\n')).toContain(
      'VALUE AmazonElastiCache:cluster',
    )
    endpoint.reply = 'standalone'
    expect(await client.request(query, '\r\n')).toBe('ERROR\r\n')
    expect(await client.request(legacyQuery, '\r\n')).toBe('END\r\n')
    endpoint.reply = { raw: 'HTTP/1.1 400\r\n' }
    expect(await client.request(query, '\r\n')).toBe('HTTP/1.1 400\r\n')
    endpoint.reply = 'configuration'
    endpoint.declaredBytes = 80
    expect(await client.request(query, 'END\r\n')).toContain('CONFIG cluster 0 80\r\n1\n')
  })

  test('can get a late, a fragmented or no reply', async () => {
    const endpoint = await start()
    const client = new Client(endpoint.port)
    endpoint.fragmentBytes = 1
    endpoint.delayMs = 50
    const startedAt = performance.now()
    const reply = await client.request(query, 'END\r\n')
    // A timer may fire a millisecond early.
    expect(performance.now() - startedAt).toBeGreaterThan(45)
    expect(reply).toBe(replyOf(1, nodeInReply()))
    expect(client.chunks.length).toBeGreaterThan(reply.length / 2)
    endpoint.reply = 'none'
    client.chunks.length = 0
    client.socket.write(query)
    expect(await new Client(endpoint.port).request('version\r\n', '\r\n')).toContain('VERSION')
    expect(client.chunks).toEqual([])
  })
})

describe('everything else is forwarded', () => {
  test('text commands, and values that contain a query', async () => {
    const { port } = await start()
    const client = new Client(port)
    const value = `x\r\n${query}${legacyQuery}`
    const set = `set key 0 0 ${value.length}\r\n${value}\r\n`
    // The command line arrives in fragments.
    for (const fragment of [set.slice(0, 5), set.slice(5, 30)]) {
      client.socket.write(fragment)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    expect(await client.request(set.slice(30), '\r\n')).toBe('STORED\r\n')
    expect(await client.request('get key\r\n', 'END\r\n')).toContain(value)
    expect(await client.request('ms key 0\r\n\r\n', '\r\n')).toBe('HD\r\n')
    expect(await client.request(query, 'END\r\n')).toBe(replyOf(1, nodeInReply()))
  })

  test('the binary protocol and large values', async () => {
    const { port } = await start()
    const binary = new Client(port)
    const noop = Buffer.alloc(24)
    noop.set([0x80, 0x0a])
    await expect.poll(async () => (await binary.request(noop, '\0')).length).toBe(24)
    const client = new Client(port)
    const value = 'v'.repeat(900_000)
    expect(await client.request(`set large 0 0 ${value.length}\r\n${value}\r\n`, '\r\n')).toBe(
      'STORED\r\n',
    )
    expect(await client.request('get large\r\n', 'END\r\n')).toContain(value)
  })

  test('to `target`, if it is set', async () => {
    const { port } = await start({ nodes: ['nowhere.invalid:1'], target: node })
    expect(await new Client(port).request('version\r\n', '\r\n')).toContain('VERSION')
  })

  test('until the node closes the connection, which closes that of the client', async () => {
    const { port } = await start({ target: '127.0.0.1:1' })
    const client = new Client(port)
    expect(await client.request(query, 'END\r\n')).toContain('CONFIG')
    client.socket.write('version\r\n')
    await client.closed
  })
})

describe('connections', () => {
  test('can be refused and reset, and the endpoint can stop and listen again', async () => {
    const endpoint = await start()
    const client = new Client(endpoint.port)
    await client.request('version\r\n', '\r\n')
    endpoint.refuseConnections = true
    await new Client(endpoint.port).closed
    expect(await client.request('version\r\n', '\r\n')).toContain('VERSION')
    endpoint.resetConnections()
    await client.closed
    const { port } = endpoint
    await endpoint.stop()
    endpoint.refuseConnections = false
    await new Client(port).closed
    await endpoint.listen(port)
    expect(await new Client(port).request(query, 'END\r\n')).toContain('CONFIG')
  })

  test('listen() rejects if the port is in use', async () => {
    await expect(configurationEndpoint({ nodes: [node], port: server.port })).rejects.toThrow(
      'EADDRINUSE',
    )
  })
})

test('closes a connection whose line does not end', async () => {
  const endpoint = await start()
  for (const start of ['', 'get ', 'set k 0 0 1\r\nv\r\n']) {
    const { socket } = new Client(endpoint.port)
    const closed = new Promise((resolve) => socket.once('close', resolve))
    socket.write(start)
    const more = () => {
      while (socket.writable && socket.write(Buffer.alloc(16_384, 'a')));
    }
    socket.on('drain', more)
    more()
    await closed
    expect(socket.bytesWritten).toBeGreaterThan(65_536)
  }
})

test('forwards requests of 64 KiB', async () => {
  const endpoint = await start()
  const client = new Client(endpoint.port)
  const keys = Array.from({ length: 320 }, (_, index) => `${index}`.padEnd(200, 'k'))
  expect(await client.request(`get ${keys.join(' ')}\r\n`, 'END\r\n')).toBe('END\r\n')
})

test('supports TLS', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'stowage-tls-'))
  cleanups.push(() => rmSync(folder, { recursive: true }))
  const files = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') }
  const certificateRequest = [
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
  execFileSync('openssl', [...certificateRequest, '-keyout', files.key, '-out', files.cert], {
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
  const client = new Client(endpoint.port, secure)
  expect(await client.request('version\r\n', '\r\n')).toContain('VERSION')
  expect(await client.request(query, 'END\r\n')).toContain('CONFIG')
  const plain = new Client(endpoint.port)
  plain.socket.write(query)
  await plain.closed
  endpoint.resetConnections()
  await client.closed
})

describe('the command-line tool', () => {
  const path = fileURLToPath(new URL('../bin/stowage-configuration-endpoint.js', import.meta.url))

  test('prints its port, and reads new nodes from standard input', async () => {
    const child = spawn(process.execPath, [
      path,
      '--port',
      '0',
      '--nodes',
      `${node},b:2`,
      '--version',
      '3',
    ])
    cleanups.push(async () => {
      child.kill()
      await once(child, 'exit')
    })
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    const { value: line } = await lines.next()
    expect(line).toMatch(/^version 3 on port \d+: /)
    const port = Number(/port (\d+)/.exec(line)?.[1])
    const client = new Client(port)
    expect(await client.request(query, 'END\r\n')).toBe(replyOf(3, `${nodeInReply()} b||2`))
    child.stdin.write(`${node}\n`)
    expect((await lines.next()).value).toBe(`version 4 on port ${port}: ${node}`)
    expect(await client.request(query, 'END\r\n')).toBe(replyOf(4, nodeInReply()))
  })

  test.each([
    [[], '--nodes is missing'],
    [['--node', 'a:1'], "Unknown option '--node'"],
    [['--nodes', 'a:1', '--cert', 'cert.pem'], '--key is missing'],
    [['--nodes', 'a:1', '--key', 'key.pem'], '--cert is missing'],
    [['--nodes', 'a:1', '--port', 'many'], '--port many is not a port number'],
  ])('with the arguments %j prints the problem and the usage', async (args, problem) => {
    const { code, errorText } = await run(args)
    expect(code).toBe(2)
    expect(errorText).toContain(problem)
    expect(errorText).toContain('--target')
  })

  test.each([
    [() => ['--port', `${server.port}`], 'is in use. Choose another --port'],
    [() => ['--cert', '/missing/cert.pem', '--key', '/missing/key.pem'], 'ENOENT'],
  ])('prints the reason, without a stack trace, when it cannot start', async (argsOf, reason) => {
    const { code, errorText } = await run(['--nodes', node, ...argsOf()])
    expect(code).toBe(1)
    expect(errorText).toContain(reason)
    expect(errorText.trim().split('\n')).toHaveLength(1)
  })

  /** Runs the tool until it ends. */
  async function run(args: readonly string[]) {
    const child = spawn(process.execPath, [path, ...args])
    cleanups.push(() => void child.kill())
    let errorText = ''
    child.stderr.on('data', (chunk) => {
      errorText += chunk
    })
    const [code] = await once(child, 'close')
    return { code, errorText }
  }
})
