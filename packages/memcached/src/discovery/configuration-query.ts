import { connect, isIP, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import type { NodeAddress } from '../node-address.ts'
import { type Configuration, parseConfiguration, textOf } from './configuration.ts'

/** Engines before 1.4.14 know only the second. Both are text: of the binary command, stock servers lose step. */
const questions: readonly string[] = ['config get cluster\r\n', 'get AmazonElastiCache:cluster\r\n']

export interface QueryOptions {
  /** Without it nothing is encrypted. */
  readonly tls?: ConnectionOptions | undefined
  /** Ends the query, with its reason. */
  readonly signal: AbortSignal
  /** Whether the process stays alive for the answer. */
  readonly ref: boolean
}

/**
 * Asks a server for the configuration of its cluster, on a connection of its own. `undefined` from one that has none:
 * a plain memcached.
 */
export function queryConfiguration(
  node: NodeAddress,
  { tls, signal, ref }: QueryOptions,
): Promise<Configuration | undefined> {
  return new Promise((resolve, reject) => {
    const socket = open(node, tls)
    const abort = () => socket.destroy(signal.reason)
    signal.addEventListener('abort', abort)
    socket.on('error', reject)
    socket.on('close', () => {
      signal.removeEventListener('abort', abort)
      reject(new Error('the server closed the connection without an answer'))
    })
    converse(socket, (configuration) => {
      resolve(configuration)
      socket.destroy()
    })
    if (!ref) socket.unref()
  })
}

function open({ host, port, ip = host }: NodeAddress, tls: ConnectionOptions | undefined): Socket {
  const address = { host: ip, port }
  if (tls === undefined) return connect(address)
  // The certificate is for the name, also where the connection goes to an address.
  const { servername = host } = tls
  return connectTls({ ...tls, ...address, ...(isIP(servername) === 0 && { servername }) })
}

/** Asks one question after the other, until there is an answer or none is left. */
function converse(socket: Socket, done: (configuration: Configuration | undefined) => void): void {
  const left = [...questions]
  let reply: Buffer = Buffer.alloc(0)
  const ask = () => {
    reply = Buffer.alloc(0)
    const question = left.shift()
    if (question === undefined) done(undefined)
    else socket.write(question)
  }
  socket.on('data', (chunk) => {
    reply = Buffer.concat([reply, chunk])
    try {
      const text = textOf(reply)
      if (text === null) ask()
      else if (text !== undefined) done(parseConfiguration(text))
    } catch (error) {
      socket.destroy(error as Error)
    }
  })
  ask()
}
