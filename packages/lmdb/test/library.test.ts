import { expect, test } from 'vitest'
import { loadLibrary } from '../src/file/library.ts'
import { prepareDirectory } from '../src/opening/directory.ts'
import { temporaryFolder } from './temporary-folder.ts'

const folder = temporaryFolder()

test('a missing binary is an error with the platform and the remedy', () => {
  const load = () => {
    throw new Error('No native build was found')
  }
  expect(() => loadLibrary(load)).toThrow(
    expect.objectContaining({
      code: 'ERR_CACHE_CONFIG',
      message: expect.stringContaining(`@lmdb/lmdb-${process.platform}-${process.arch}`),
    }),
  )
})

test.runIf(process.platform === 'linux')('a network file system is an error', () => {
  expect(() => prepareDirectory(folder, () => 0x6969)).toThrow(
    expect.objectContaining({ code: 'ERR_CACHE_CONFIG', message: expect.stringContaining('NFS') }),
  )
  expect(() => prepareDirectory(folder, () => 0xef53)).not.toThrow()
})
