import { readdirSync } from 'node:fs'
import { join } from 'node:path'

/**
 * The files below a folder, also those of its subfolders; none if the folder does not exist. Hidden folders are not
 * entered, as tests write their own files there at any time, and neither is node_modules.
 */
export function filesIn(folder) {
  return entriesOf(folder).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (!entry.isDirectory()) return [path]
    return entry.name.startsWith('.') || entry.name === 'node_modules' ? [] : filesIn(path)
  })
}

function entriesOf(folder) {
  try {
    return readdirSync(folder, { withFileTypes: true })
  } catch (error) {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return []
    throw error
  }
}
