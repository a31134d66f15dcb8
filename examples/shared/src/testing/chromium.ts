import { existsSync } from 'node:fs'

export interface ChromiumOptions {
  readonly executablePath: string
  readonly headless: true
  readonly args: string[]
}

const candidates = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']
const args = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/**
 * Launch options of playwright-core for the Chromium of this machine.
 * @throws Error if none is installed
 */
export function chromiumOptions(): ChromiumOptions {
  const executablePath = process.env.CHROMIUM_PATH ?? candidates.find((path) => existsSync(path))
  if (executablePath === undefined) {
    throw new Error('Chromium was not found. Install it, or set CHROMIUM_PATH to its executable.')
  }
  return { executablePath, headless: true, args }
}
