/**
 * The grammars of names, labels and the like. Each function answers with the sentences upstream would
 * say, none if the value is good.
 */

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const DNS1035_LABEL = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;
const DNS_SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const QUALIFIED_NAME = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;
const LABEL_VALUE = /^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/;
const CONFIG_KEY = /^[-._a-zA-Z0-9]+$/;
const PORT_NAME = /^[-a-z0-9]+$/;
/** Any printable ASCII but `=`: the relaxed rule for variables. */
const ENV_NAME = /^[ -<>-~]+$/;

const DNS_LABEL_MAX = 63;
const DNS_SUBDOMAIN_MAX = 253;
const QUALIFIED_NAME_MAX = 63;
const LABEL_VALUE_MAX = 63;
const PORT_NAME_MAX = 15;

const EMPTY = 'must be non-empty';

/** Sentences against a DNS label (RFC 1123): names of containers, namespaces. */
export function dnsLabelProblems(value: string): string[] {
  const problems = lengthProblems(value, DNS_LABEL_MAX);
  if (!DNS_LABEL.test(value)) {
    problems.push(
      DNS_SUBDOMAIN.test(value)
        ? 'must not contain dots'
        : regexProblem(
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
            '[a-z0-9]([-a-z0-9]*[a-z0-9])?',
            ['my-name', '123-abc'],
          ),
    );
  }
  return problems;
}

/** Sentences against a DNS label of RFC 1035: names of Services. */
export function dns1035LabelProblems(value: string): string[] {
  const problems = lengthProblems(value, DNS_LABEL_MAX);
  if (!DNS1035_LABEL.test(value)) {
    problems.push(
      regexProblem(
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
        '[a-z]([-a-z0-9]*[a-z0-9])?',
        ['my-name', 'abc-123'],
      ),
    );
  }
  return problems;
}

/** Sentences against a DNS subdomain: names of most objects. */
export function dnsSubdomainProblems(value: string): string[] {
  const problems = lengthProblems(value, DNS_SUBDOMAIN_MAX);
  if (!DNS_SUBDOMAIN.test(value)) {
    problems.push(
      regexProblem(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
        '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*',
        ['example.com'],
      ),
    );
  }
  return problems;
}

/** Sentences against a name that only has to fit into a path. */
export function pathSegmentProblems(value: string): string[] {
  if (value === '.' || value === '..') return [`may not be '${value}'`];
  return ['/', '%']
    .filter((char) => value.includes(char))
    .map((char) => `may not contain '${char}'`);
}

/** Sentences against a label key, or any name with an optional DNS prefix. */
export function labelKeyProblems(value: string): string[] {
  const parts = value.split('/');
  if (parts.length > 2) {
    return [
      `a qualified name ${regexProblem(
        QUALIFIED_NAME_TEXT,
        QUALIFIED_NAME_PATTERN,
        QUALIFIED_NAME_EXAMPLES,
      )} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
    ];
  }
  const problems: string[] = [];
  const name = parts.at(-1) ?? '';
  if (parts.length === 2) {
    const prefix = parts[0] ?? '';
    if (prefix === '') problems.push(`prefix part ${EMPTY}`);
    else problems.push(...dnsSubdomainProblems(prefix).map((problem) => `prefix part ${problem}`));
  }
  if (name === '') problems.push(`name part ${EMPTY}`);
  else if (name.length > QUALIFIED_NAME_MAX) {
    problems.push(`name part ${lengthMessage(QUALIFIED_NAME_MAX)}`);
  }
  if (!QUALIFIED_NAME.test(name)) {
    problems.push(
      `name part ${regexProblem(QUALIFIED_NAME_TEXT, QUALIFIED_NAME_PATTERN, QUALIFIED_NAME_EXAMPLES)}`,
    );
  }
  return problems;
}

/** Sentences against a label's value. */
export function labelValueProblems(value: string): string[] {
  const problems = lengthProblems(value, LABEL_VALUE_MAX);
  if (!LABEL_VALUE.test(value)) {
    problems.push(
      regexProblem(
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
        '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?',
        ['MyValue', 'my_value', '12345'],
      ),
    );
  }
  return problems;
}

/** Sentences against a key of a ConfigMap or Secret. */
export function configKeyProblems(value: string): string[] {
  const problems = lengthProblems(value, DNS_SUBDOMAIN_MAX);
  if (!CONFIG_KEY.test(value)) {
    problems.push(
      regexProblem(
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
        '[-._a-zA-Z0-9]+',
        ['key.name', 'KEY_NAME', 'key-name'],
      ),
    );
  } else if (value === '.') problems.push("must not be '.'");
  else if (value === '..') problems.push("must not be '..'");
  else if (value.startsWith('..')) problems.push("must not start with '..'");
  return problems;
}

/** Sentences against the name of an environment variable. */
export function envNameProblems(value: string): string[] {
  if (ENV_NAME.test(value)) return [];
  return [
    "a valid environment variable name must consist only of printable ASCII characters other than '='",
  ];
}

/** Sentences against the name of a container port (IANA service name). */
export function portNameProblems(value: string): string[] {
  const problems: string[] = [];
  if (value.length > PORT_NAME_MAX) problems.push(lengthMessage(PORT_NAME_MAX));
  if (!PORT_NAME.test(value)) {
    problems.push('must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)');
  }
  if (!/[a-z]/.test(value)) problems.push('must contain at least one letter (a-z)');
  if (value.includes('--')) problems.push('must not contain consecutive hyphens');
  if (value.startsWith('-') || value.endsWith('-')) {
    problems.push('must not begin or end with a hyphen');
  }
  return problems;
}

/** Sentences against a port number. */
export function portNumberProblems(value: number): string[] {
  return Number.isInteger(value) && value >= 1 && value <= 65535
    ? []
    : ['must be between 1 and 65535, inclusive'];
}

/** Sentences against the name of an object under `rule`; with `prefix`, against a generateName, of which only the start is given. */
export function objectNameProblems(
  value: string,
  rule: 'dns-subdomain' | 'dns-label' | 'dns1035-label' | 'path-segment',
  prefix = false,
): string[] {
  // A generated name gets letters and digits appended, so a trailing hyphen or dot is fine.
  const checked = prefix && value.endsWith('-') ? `${value.slice(0, -1)}a` : value;
  switch (rule) {
    case 'dns-subdomain':
      return dnsSubdomainProblems(checked);
    case 'dns-label':
      return dnsLabelProblems(checked);
    case 'dns1035-label':
      return dns1035LabelProblems(checked);
    case 'path-segment':
      return pathSegmentProblems(prefix ? `${value}a` : value);
  }
}

const QUALIFIED_NAME_TEXT =
  "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const QUALIFIED_NAME_PATTERN = '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]';
const QUALIFIED_NAME_EXAMPLES = ['MyName', 'my.name', '123-abc'];

function lengthProblems(value: string, max: number): string[] {
  return value.length > max ? [lengthMessage(max)] : [];
}

function lengthMessage(max: number): string {
  return `must be no more than ${max} characters`;
}

function regexProblem(text: string, pattern: string, examples: readonly string[]): string {
  const quoted = examples.map((example) => `'${example}'`).join(',  or ');
  return `${text} (e.g. ${quoted}, regex used for validation is '${pattern}')`;
}
