import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const script = fileURLToPath(new URL('cache-process.mjs', import.meta.url))

/** @typedef {{ value?: any, code?: string }} CallResult */

/**
 * Starts a process with caches of its own. Its calls are made one after the other.
 * @param {import('@stowage/memcached').MemcachedOptions} options
 */
export function startCacheProcess(options) {
  const child = spawn(process.execPath, [script, JSON.stringify(options)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return {
    /** @param {string} prefix @param {string} method @param {unknown[]} args @returns {Promise<CallResult>} */
    async call(prefix, method, ...args) {
      child.stdin.write(`${JSON.stringify([prefix, method, ...args])}\n`)
      return JSON.parse((await lines.next()).value)
    },
    async stop() {
      child.stdin.end()
      if (child.exitCode === null) await once(child, 'exit')
    },
  }
}
