import type { Variables } from '@stowage/core/driver'

const secretNames = /PASS|SECRET|TOKEN|CREDENTIAL|AUTH|_KEY/i
/** Shorter values may be part of ordinary words. Drivers still mask them. */
const minLength = 8
/** Passwords of many servers in development. This command prints them as words, which reveals nothing. */
const ordinaryWords = ['password', 'postgres', 'memcached', 'dynamodb']

/** Returns the values of the variables that must not be printed: secrets, keys, and the passwords of URLs. */
export function secretsOf(variables: Variables): string[] {
  const found = Object.entries(variables).flatMap(([name, value = '']) => [
    ...(secretNames.test(name) ? [value, ...value.split(',')].map((part) => part.trim()) : []),
    ...passwordsOf(value),
  ])
  return [...new Set(found)].filter(
    (secret) => secret.length >= minLength && !ordinaryWords.includes(secret),
  )
}

function passwordsOf(value: string): string[] {
  const [, password] = /^[a-z][a-z0-9+.-]*:\/\/[^:@/]*:(.*)@/is.exec(value) ?? []
  if (password === undefined) return []
  return [password, decoded(password)]
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
