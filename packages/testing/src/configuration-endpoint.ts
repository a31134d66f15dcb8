import { type AddressInfo, connect, createServer, isIP, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type TlsOptions } from 'node:tls'
import { TextCommands } from './text-commands.ts'

export interface ConfigurationEndpointOptions {
  /**
   * The nodes of the cluster, real memcached servers: `host:port`, an IPv6 address in brackets, or `host|ip|port` as on
   * the wire, where name and address differ.
   */
  readonly nodes: readonly string[]
  /** Of the configuration. @default 1 */
  readonly version?: number | undefined
  /** @default a free one */
  readonly port?: number | undefined
  /** Where to listen. @default '127.0.0.1' */
  readonly host?: string | undefined
  /** The memcached, `host:port`, that everything but a question for the configuration goes to. @default the first node */
  readonly target?: string | undefined
  /** Certificate and key, for a cluster with encryption in transit. The nodes behind it are spoken to in plain. */
  readonly tls?: TlsOptions | undefined
}

/**
 * What a question for the configuration gets. `'configuration'`: the answer of a cluster. `'legacy'`: that of an old one,
 * which knows the key `AmazonElastiCache:cluster` only. `'plain'`: that of a memcached without a cluster. `'silence'`:
 * none. `{ raw }`: these bytes, whatever they are.
 */
export type ConfigurationAnswer =
  | 'configuration'
  | 'legacy'
  | 'plain'
  | 'silence'
  | { readonly raw: string }

const question = 'config get cluster'
const legacyQuestions = ['get AmazonElastiCache:cluster', 'gets AmazonElastiCache:cluster']

/** Listens; to be stopped in the end. */
export async function configurationEndpoint(
  options: ConfigurationEndpointOptions,
): Promise<ConfigurationEndpoint> {
  const endpoint = new ConfigurationEndpoint(options)
  await endpoint.listen()
  return endpoint
}

/**
 * The configuration endpoint of an ElastiCache or Memorystore cluster, in front of real memcached servers. It answers
 * questions for the configuration and passes everything else on to one of the nodes. What it answers, and how badly,
 * can be changed while it runs; the change holds for the next question.
 */
export class ConfigurationEndpoint {
  /** The nodes as options say. Assigned alone, it is a replacement in place: on AWS that leaves the version as it is. */
  nodes: readonly string[]
  version: number
  answer: ConfigurationAnswer = 'configuration'
  /** How long an answer takes, in milliseconds. */
  delayMs = 0
  /** Size of the pieces an answer comes in, in bytes. */
  fragmentBytes: number = Infinity
  /** The length an answer claims to have, if not its own. */
  claimedBytes: number | undefined
  /** Whether new connections are reset at once. */
  refusing = false
  /** Questions so far. */
  asked = 0
  readonly #options: ConfigurationEndpointOptions
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  constructor(options: ConfigurationEndpointOptions) {
    const { nodes, version = 1, tls } = options
    this.#options = options
    this.nodes = nodes
    this.version = version
    const serve = (client: Socket) => this.#serve(client)
    this.#server =
      tls === undefined
        ? createServer({ noDelay: true }, serve)
        : createTlsServer({ ...tls, noDelay: true }, serve).on('tlsClientError', () => {})
    // Before a handshake, too.
    this.#server.on('connection', (socket: Socket) => this.#accept(socket))
  }

  get port(): number {
    return (this.#server.address() as AddressInfo | null)?.port ?? 0
  }

  /** Other nodes: what follows when a cluster is scaled. The version rises. */
  scale(nodes: readonly string[]): void {
    this.nodes = nodes
    this.version++
  }

  /** Resets all connections. New ones are served. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  listen(port: number = this.#options.port ?? 0): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(port, this.#options.host ?? '127.0.0.1', () => {
        this.#server.off('error', reject)
        resolve()
      })
    })
  }

  /** Ends it with all connections. It may listen again. */
  async stop(): Promise<void> {
    const ended = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.cut()
    await ended
  }

  #accept(socket: Socket): void {
    this.#track(socket)
    if (this.refusing) socket.resetAndDestroy()
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => this.#sockets.delete(socket))
  }

  #serve(client: Socket): void {
    client.on('error', () => {})
    let node: Socket | undefined
    const commands = new TextCommands((piece, line) => {
      if (line !== undefined && this.#reply(client, line)) return
      node ??= this.#connect(client)
      node.write(piece)
    })
    client.on('data', (chunk) => commands.read(chunk))
    client.on('close', () => node?.destroy())
  }

  #connect(client: Socket): Socket {
    const [host, ip, port] = fields(this.#options.target ?? this.nodes[0] ?? '')
    const node = connect({ host: ip || host, port: Number(port), noDelay: true })
    this.#track(node)
    node.pipe(client)
    node.on('close', () => client.destroy())
    return node
  }

  /** Says whether `line` was a question for the configuration that is not the node's to answer. */
  #reply(client: Socket, line: string): boolean {
    const legacy = legacyQuestions.includes(line)
    if (this.answer === 'plain' || !(legacy || line === question)) return false
    this.asked++
    const answer = this.#bytesFor(legacy)
    if (answer !== undefined) void this.#send(client, answer)
    return true
  }

  #bytesFor(legacy: boolean): string | undefined {
    if (this.answer === 'silence') return undefined
    if (typeof this.answer === 'object') return this.answer.raw
    if (!legacy && this.answer === 'legacy') return 'ERROR\r\n'
    const members = this.nodes.map((node) => fields(node).join('|'))
    const text = `${this.version}\n${members.join(' ')}\n`
    const head = legacy ? 'VALUE AmazonElastiCache:cluster' : 'CONFIG cluster'
    return `${head} 0 ${this.claimedBytes ?? Buffer.byteLength(text)}\r\n${text}\r\nEND\r\n`
  }

  async #send(client: Socket, answer: string): Promise<void> {
    await pause(this.delayMs)
    const bytes = Buffer.from(answer)
    const size = Math.min(this.fragmentBytes, bytes.length)
    for (let start = 0; start < bytes.length && client.writable; start += size) {
      // A turn in between keeps the pieces apart.
      if (start > 0) await pause(1)
      client.write(bytes.subarray(start, start + size))
    }
  }
}

/** Host, address and port of a node. An address has no name and is its own. */
function fields(node: string): [host: string, ip: string, port: string] {
  const [host = '', ip = '', port = ''] = node.split('|')
  if (node.includes('|')) return [host, ip, port]
  const at = node.lastIndexOf(':')
  const name = node.slice(0, at).replace(/^\[(.*)\]$/, '$1')
  return [name, isIP(name) === 0 ? '' : name, node.slice(at + 1)]
}

function pause(ms: number): Promise<void> | undefined {
  return ms > 0 ? new Promise((resolve) => setTimeout(resolve, ms)) : undefined
}
