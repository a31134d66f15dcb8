import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { userInfo } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '@stowage/example-shared'

/** A memcached process on this machine. */
export interface MemcachedProcess {
  readonly ip: string
  readonly port: number
  /** Kills the process, like a crash. */
  kill(): Promise<void>
}

const readyTimeoutMs = 10_000

/** @throws Error with the remedy, if memcached is not installed or cannot listen on `ip` */
export async function startMemcached(ip: string, port?: number): Promise<MemcachedProcess> {
  const listenPort = port ?? (await freePort(ip))
  // memcached refuses to run as root without -u.
  const args = ['-u', userInfo().username, '-l', ip, '-p', `${listenPort}`, '-U', '0', '-m', '64']
  const child = spawn('memcached', args, { stdio: 'ignore' })
  const exited = rejectOnExit(child, ip)
  // It also rejects when the process is killed later.
  exited.catch(() => {})
  await Promise.race([waitUntilReady(ip, listenPort), exited])
  const kill = async () => {
    child.kill('SIGKILL')
    await exited.catch(() => {})
  }
  // The server must not outlive this process.
  process.once('exit', () => child.kill('SIGKILL'))
  return { ip, port: listenPort, kill }
}

/** Returns a promise that rejects when the process exits or cannot be spawned. */
async function rejectOnExit(child: ChildProcess, ip: string): Promise<never> {
  await once(child, 'exit').catch((cause) => {
    const remedy = 'Install it: apt-get install memcached, or brew install memcached.'
    throw new Error(`memcached could not be started. ${remedy}`, { cause })
  })
  throw new Error(`memcached cannot listen on ${ip}. On macOS: sudo ifconfig lo0 alias ${ip}`)
}

async function waitUntilReady(ip: string, port: number): Promise<void> {
  const deadline = Date.now() + readyTimeoutMs
  while (!(await acceptsConnection(ip, port))) {
    if (Date.now() > deadline) throw new Error(`memcached does not respond on ${ip}:${port}.`)
    await sleep(20)
  }
}

function acceptsConnection(ip: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, ip)
    socket.once('error', () => resolve(false))
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
  })
}
