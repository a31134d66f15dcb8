import { readFileSync } from 'node:fs'
import { uptime } from 'node:os'

let current: string | undefined

/** Returns an id of the current boot of the machine, to detect that the operating system was restarted. */
export function bootId(): string {
  current ??= readBootId()
  return current
}

/** Whether two ids are of the same boot. Times of boot may differ by seconds, because the clock may be set. */
export function isSameBoot(a: string, b: string): boolean {
  if (a === b) return true
  const [first, second] = [Number(a), Number(b)]
  return Math.abs(first - second) < 300
}

function readBootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return String(Math.round(Date.now() / 1000 - uptime()))
  }
}
