import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { filesIn } from './files.mjs'

/**
 * Compares two folders byte for byte. Of tarballs that differ, it returns the files in which they do.
 *
 * @param {string} first
 * @param {string} second
 * @returns {string[]} what differs, empty if nothing does
 */
export function differences(first, second) {
  const names = [...new Set([...readdirSync(first), ...readdirSync(second)])].sort()
  return names.flatMap((name) => {
    const files = [join(first, name), join(second, name)]
    const missing = files.find((file) => !existsSync(file))
    if (missing !== undefined) return [`${missing} does not exist`]
    if (isEqual(...files)) return []
    return name.endsWith('.tgz') ? differencesOfTarballs(name, files) : [name]
  })
}

function isEqual(first, second) {
  return readFileSync(first).equals(readFileSync(second))
}

function differencesOfTarballs(name, tarballs) {
  const folder = mkdtempSync(join(tmpdir(), 'stowage-compare-'))
  try {
    const [first, second] = tarballs.map((tarball, index) => {
      const to = join(folder, `${index}`)
      mkdirSync(to)
      execFileSync('tar', ['-xzf', tarball, '-C', to])
      return to
    })
    const paths = [first, second].flatMap((to) => filesIn(to).map((file) => relative(to, file)))
    const different = [...new Set(paths)].filter((path) => {
      const files = [join(first, path), join(second, path)]
      return !files.every(existsSync) || !isEqual(...files)
    })
    if (different.length > 0) return different.map((path) => `${name}: ${path}`)
    return [
      `${name}: the same files, but another order, mode or compression (another Node or pnpm?)`,
    ]
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
