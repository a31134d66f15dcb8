import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

// A client and a server that take turns are three times as fast on one CPU, where neither ever sleeps, as on two,
// where each call wakes both. The scheduler may switch between the two placements at any time.
const cpus = allowedCpus()
const [clientCpu] = cpus
const serverCpu = cpus.at(-1)

/** Whether processes can be pinned to CPUs: requires Linux, `taskset` and two CPUs. */
export const canPin = cpus.length > 1 && pin(process.pid, cpus.join(','))

/** Pins all threads of a server. */
export function pinServer(pid) {
  if (canPin) pin(pid, serverCpu, '-a')
}

/** Pins the thread that runs JavaScript. The threads of the garbage collector remain free. */
export function pinClient(pid, { sameCpu }) {
  if (canPin) pin(pid, sameCpu ? serverCpu : clientCpu)
}

function pin(pid, list, ...flags) {
  return spawnSync('taskset', [...flags, '-c', '-p', list, `${pid}`]).status === 0
}

/** '0-2,5' → ['0', '1', '2', '5'] */
function allowedCpus() {
  if (process.platform !== 'linux') return []
  const [, list] = /^Cpus_allowed_list:\s*(.+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))
  return list.split(',').flatMap((range) => {
    const [first, last = first] = range.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, i) => `${first + i}`)
  })
}
