import { connect, isIP, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import type { NodeAddress } from '../node-address.ts'
import { type Configuration, parseConfiguration, readReply } from './configuration.ts'

/**
 * Engines before 1.4.14 support only the second command. Both are text: a stock server that receives the binary command
 * loses its place in the byte stream.
 */
const commands: readonly string[] = ['config get cluster\r\n', 'get AmazonElastiCache:cluster\r\n']

export interface QueryOptions {
  /** Uses TLS if given. */
  readonly tls?: ConnectionOptions | undefined
  /** Aborts the query; the promise rejects with the signal's reason. It aborts also after the query, and closes its socket. */
  readonly signal: AbortSignal
  /** Whether the socket keeps the process alive. */
  readonly ref: boolean
}

/**
 * Queries a server for the configuration of its cluster, on a connection of its own. Resolves to `undefined` if the
 * server has no configuration: a plain memcached.
 */
export function queryConfiguration(
  node: NodeAddress,
  { tls, signal, ref }: QueryOptions,
): Promise<Configuration | undefined> {
  return new Promise((resolve, reject) => {
    const socket = open(node, tls)
    signal.addEventListener('abort', () => socket.destroy(signal.reason))
    socket.on('error', reject)
    socket.on('close', () => reject(new Error('the server closed the connection without a reply')))
    sendCommands(socket, resolve)
    if (!ref) socket.unref()
  })
}

function open({ host, port, ip = host }: NodeAddress, tls: ConnectionOptions | undefined): Socket {
  const address = { host: ip, port }
  if (tls === undefined) return connect(address)
  // Certificates are issued for the host name, also when the connection goes to an IP address.
  const { servername = host } = tls
  return connectTls({ ...tls, ...address, ...(isIP(servername) === 0 && { servername }) })
}

/** Sends one command after the other until one of them returns a configuration. */
function sendCommands(
  socket: Socket,
  onResult: (configuration: Configuration | undefined) => void,
): void {
  const remaining = [...commands]
  let received: Buffer = Buffer.alloc(0)
  const sendNext = () => {
    received = Buffer.alloc(0)
    const command = remaining.shift()
    if (command === undefined) onResult(undefined)
    else socket.write(command)
  }
  socket.on('data', (data) => {
    received = Buffer.concat([received, data])
    try {
      const text = readReply(received)
      if (text === null) sendNext()
      else if (text !== undefined) onResult(parseConfiguration(text))
    } catch (error) {
      socket.destroy(error as Error)
    }
  })
  sendNext()
}
