/** Manifests that several parts of the kubectl tests apply. */

export type DeploymentOptions = {
  readonly name?: string;
  readonly replicas?: number;
  readonly image?: string;
};

/** A Deployment of idle pods that end at once. */
export function idle({ name = 'idle', replicas = 1, image = 'busybox' }: DeploymentOptions = {}) {
  return `
apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}, labels: {app: ${name}}}
spec:
  replicas: ${replicas}
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata: {labels: {app: ${name}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - {name: main, image: '${image}', imagePullPolicy: IfNotPresent, command: [sleep, '10000']}
`;
}

/** A Deployment of web servers on port 3000, which say their host name, and its Service on port 80. */
export function web({ name = 'web', replicas = 2, image = 'k8s-demo:v2' }: DeploymentOptions = {}) {
  return `
apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}, labels: {app: ${name}}}
spec:
  replicas: ${replicas}
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata: {labels: {app: ${name}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: ${image}
        imagePullPolicy: IfNotPresent
        ports: [{containerPort: 3000}]
        readinessProbe: {httpGet: {path: /, port: 3000}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: ${name}, labels: {app: ${name}}}
spec:
  selector: {app: ${name}}
  ports: [{port: 80, targetPort: 3000}]
`;
}

/** A pod of one container that runs a script; it ends at once when told to. */
export function scripted(name: string, script: string, more = ''): string {
  return `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, labels: {app: ${name}}}
spec:
  terminationGracePeriodSeconds: 0
  restartPolicy: Never
  containers:
  - name: main
    image: busybox
    imagePullPolicy: IfNotPresent
    command: [sh, -c, ${JSON.stringify(script)}]${more}
`;
}
