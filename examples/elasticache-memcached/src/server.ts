import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { userInfo } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'

/** A memcached of this machine, and where it listens. */
export interface Server {
  readonly ip: string
  readonly port: number
  /** Ends it as a power failure would. */
  kill(): Promise<void>
}

const readyWithinMs = 10_000

/** @throws Error with the remedy where memcached is not installed, or where the address is none of this machine */
export async function startServer(ip: string, port?: number): Promise<Server> {
  const chosen = port ?? (await freePort(ip))
  // It refuses to run as root unless it is told to be somebody.
  const args = ['-u', userInfo().username, '-l', ip, '-p', `${chosen}`, '-U', '0', '-m', '64']
  const child = spawn('memcached', args, { stdio: 'ignore' })
  const ended = failure(child, ip)
  ended.catch(() => {})
  await Promise.race([listens(ip, chosen), ended])
  const kill = async () => {
    child.kill('SIGKILL')
    await ended.catch(() => {})
  }
  // Not after this process: nobody would know it is there.
  process.once('exit', () => child.kill('SIGKILL'))
  return { ip, port: chosen, kill }
}

async function failure(child: ChildProcess, ip: string): Promise<never> {
  await once(child, 'exit').catch((cause) => {
    const remedy = 'Install it: apt-get install memcached, or brew install memcached.'
    throw new Error(`memcached does not start. ${remedy}`, { cause })
  })
  throw new Error(`memcached does not run on ${ip}. On macOS: sudo ifconfig lo0 alias ${ip}`)
}

async function listens(ip: string, port: number): Promise<void> {
  const deadline = Date.now() + readyWithinMs
  while (!(await accepts(ip, port))) {
    if (Date.now() > deadline) throw new Error(`memcached does not answer on ${ip}:${port}.`)
    await sleep(20)
  }
}

function accepts(ip: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, ip)
    socket.once('error', () => resolve(false))
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
  })
}

async function freePort(ip: string): Promise<number> {
  const server = createServer().listen(0, ip)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
