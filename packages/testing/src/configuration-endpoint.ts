import { type AddressInfo, connect, createServer, isIP, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type TlsOptions } from 'node:tls'
import { TextProtocolSplitter } from './text-protocol-splitter.ts'

export interface ConfigurationEndpointOptions {
  /**
   * The nodes of the cluster, which are real memcached servers: `host:port` with an IPv6 address in brackets, or
   * `host|ip|port` as in the protocol if name and address differ.
   */
  readonly nodes: readonly string[]
  /** Version of the configuration. @default 1 */
  readonly version?: number | undefined
  /** Port to listen on. @default a free port */
  readonly port?: number | undefined
  /** Address to listen on. @default '127.0.0.1' */
  readonly host?: string | undefined
  /** `host:port` of the memcached server that receives all other commands. @default the first node */
  readonly target?: string | undefined
  /** Certificate and key, for a cluster with encryption in transit. Connections to the nodes are not encrypted. */
  readonly tls?: TlsOptions | undefined
}

/**
 * The reply to a configuration query.
 * - `'configuration'`: the node list.
 * - `'legacy'`: that of an engine before 1.4.14, which supports only the key `AmazonElastiCache:cluster`.
 * - `'standalone'`: that of a memcached server outside a cluster.
 * - `'none'`: no reply.
 * - `{ raw }`: these bytes, encoded as UTF-8.
 */
export type ConfigurationReply =
  | 'configuration'
  | 'legacy'
  | 'standalone'
  | 'none'
  | { readonly raw: string }

// https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/AutoDiscovery.AddingToYourClientLibrary.html
const configQuery = 'config get cluster'
const legacyQueries = ['get AmazonElastiCache:cluster', 'gets AmazonElastiCache:cluster']

/** Starts a {@link ConfigurationEndpoint}. Call its `stop()` to close it. */
export async function configurationEndpoint(
  options: ConfigurationEndpointOptions,
): Promise<ConfigurationEndpoint> {
  const endpoint = new ConfigurationEndpoint(options)
  await endpoint.listen()
  return endpoint
}

/**
 * The configuration endpoint of an ElastiCache or Memorystore cluster, in front of real memcached servers. It replies to
 * configuration queries and forwards everything else to one of the nodes. Its public fields can be assigned at any time;
 * they apply from the next query on.
 *
 * @example
 * const endpoint = await configurationEndpoint({ nodes: ['127.0.0.1:11211'] })
 * const address = `127.0.0.1:${endpoint.port}`
 * const discovering = new Cache(memcached({ configurationEndpoint: address }))
 * endpoint.scale(['127.0.0.1:11211', '127.0.0.1:11212'])
 * await discovering.close()
 * await endpoint.stop()
 */
export class ConfigurationEndpoint {
  /** Nodes in the notation of the options. Assigning them keeps the version, as AWS does when it replaces a node in place. */
  nodes: readonly string[]
  /** Version of the configuration. */
  version: number
  /** Reply to configuration queries. */
  reply: ConfigurationReply = 'configuration'
  /** Delay before each reply, in milliseconds. */
  delayMs = 0
  /** Size of the fragments that a reply is sent in, in bytes. */
  fragmentBytes: number = Infinity
  /** Length that the header of the reply declares. `undefined` declares the real length. */
  declaredBytes: number | undefined
  /** Whether new connections are reset. */
  refuseConnections = false
  /** Number of configuration queries received. */
  queryCount = 0
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
    // With TLS, `serve` is called after the handshake; a connection can be reset before it.
    this.#server.on('connection', (socket: Socket) => this.#accept(socket))
  }

  /** Port of the server, or 0 if it does not listen. */
  get port(): number {
    return (this.#server.address() as AddressInfo | null)?.port ?? 0
  }

  /** Replaces the nodes and increments the version, as AWS does when a cluster is scaled. */
  scale(nodes: readonly string[]): void {
    this.nodes = nodes
    this.version++
  }

  /** Resets all open connections. New ones are accepted. */
  resetConnections(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  /** Starts listening, also after `stop()`. Rejects with `EADDRINUSE` if the port is in use. */
  listen(port: number = this.#options.port ?? 0): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(port, this.#options.host ?? '127.0.0.1', () => {
        this.#server.off('error', reject)
        resolve()
      })
    })
  }

  /** Stops listening and resets all connections. */
  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.resetConnections()
    await closed
  }

  #accept(socket: Socket): void {
    this.#track(socket)
    if (this.refuseConnections) socket.resetAndDestroy()
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => this.#sockets.delete(socket))
  }

  #serve(client: Socket): void {
    client.on('error', () => {})
    let node: Socket | undefined
    const splitter = new TextProtocolSplitter((piece, commandLine) => {
      if (commandLine !== undefined && this.#handleQuery(client, commandLine)) return
      node ??= this.#connectToNode(client)
      node.write(piece)
    })
    client.on('data', (chunk) => {
      // As memcached does.
      if (!splitter.write(chunk)) client.destroy()
    })
    client.on('close', () => node?.destroy())
  }

  #connectToNode(client: Socket): Socket {
    const [host, ip, port] = parseNode(this.#options.target ?? this.nodes[0] ?? '')
    const node = connect({ host: ip || host, port: Number(port), noDelay: true })
    this.#track(node)
    node.pipe(client)
    node.on('close', () => client.destroy())
    return node
  }

  /** Returns false if the command has to be forwarded to the node. */
  #handleQuery(client: Socket, commandLine: string): boolean {
    const isLegacy = legacyQueries.includes(commandLine)
    if (this.reply === 'standalone' || !(isLegacy || commandLine === configQuery)) return false
    this.queryCount++
    const reply = this.#replyTo(isLegacy)
    if (reply !== undefined) void this.#send(client, reply)
    return true
  }

  #replyTo(isLegacy: boolean): string | undefined {
    if (this.reply === 'none') return undefined
    if (typeof this.reply === 'object') return this.reply.raw
    if (!isLegacy && this.reply === 'legacy') return 'ERROR\r\n'
    const nodes = this.nodes.map((node) => parseNode(node).join('|'))
    const text = `${this.version}\n${nodes.join(' ')}\n`
    const head = isLegacy ? 'VALUE AmazonElastiCache:cluster' : 'CONFIG cluster'
    return `${head} 0 ${this.declaredBytes ?? Buffer.byteLength(text)}\r\n${text}\r\nEND\r\n`
  }

  async #send(client: Socket, reply: string): Promise<void> {
    await pause(this.delayMs)
    const bytes = Buffer.from(reply)
    const size = Math.min(this.fragmentBytes, bytes.length)
    for (let start = 0; start < bytes.length && client.writable; start += size) {
      // Without a pause the kernel could merge the fragments.
      if (start > 0) await pause(1)
      client.write(bytes.subarray(start, start + size))
    }
  }
}

/** Splits a node into the fields of the protocol: a host name has no ip, and an address is both host and ip. */
function parseNode(node: string): [host: string, ip: string, port: string] {
  const [host = '', ip = '', port = ''] = node.split('|')
  if (node.includes('|')) return [host, ip, port]
  const colon = node.lastIndexOf(':')
  const name = node.slice(0, colon).replace(/^\[(.*)\]$/, '$1')
  return [name, isIP(name) === 0 ? '' : name, node.slice(colon + 1)]
}

function pause(ms: number): Promise<void> | undefined {
  return ms > 0 ? new Promise((resolve) => setTimeout(resolve, ms)) : undefined
}
