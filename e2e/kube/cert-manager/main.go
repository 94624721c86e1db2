// Command cert-manager is as much of cert-manager as issues certificates by CAs of the cluster: its controllers and its
// CA injector, without ACME, metrics and its own webhook.
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/stdr"
	admission "k8s.io/api/admissionregistration/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kubernetes "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metrics "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	certmanager "github.com/cert-manager/cert-manager/pkg/client/clientset/versioned/scheme"
	"github.com/cert-manager/cert-manager/pkg/controller"
	"github.com/cert-manager/cert-manager/pkg/controller/cainjector"
	"github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/approver"
	requestsca "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/ca"
	requestsselfsigned "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/selfsigned"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/issuing"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/keymanager"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/readiness"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/requestmanager"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/revisionmanager"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/trigger"
	"github.com/cert-manager/cert-manager/pkg/controller/issuers"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/ca"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/selfsigned"
	"github.com/cert-manager/cert-manager/pkg/util"
)

var names = []string{
	approver.ControllerName, requestsca.CRControllerName, requestsselfsigned.CRControllerName,
	issuing.ControllerName, keymanager.ControllerName, readiness.ControllerName, requestmanager.ControllerName,
	revisionmanager.ControllerName, trigger.ControllerName, issuers.ControllerName,
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, kubeconfig string) error {
	stdr.SetVerbosity(2)
	ctrl.SetLogger(stdr.New(log.Default()))
	factory, err := controller.NewContextFactory(ctx, controller.ContextOptions{Kubeconfig: kubeconfig, KubernetesAPIQPS: 100, KubernetesAPIBurst: 100})
	if err != nil {
		return err
	}
	for _, name := range names {
		one, err := controller.Known()[name](factory)
		if err != nil {
			return err
		}
		go func() { log.Fatal(one.Run(5, ctx)) }()
	}
	base, err := factory.Build("base")
	if err != nil {
		return err
	}
	base.SharedInformerFactory.Start(ctx.Done())
	base.KubeSharedInformerFactory.Start(ctx.Done())
	return inject(ctx, kubeconfig)
}

func inject(ctx context.Context, kubeconfig string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{kubernetes.AddToScheme, certmanager.AddToScheme, admission.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	// Whose fields they are, the injector takes from the user agent.
	config = util.RestConfigWithUserAgent(config, "cainjector")
	// It watches the metadata of Secrets: a copy of their data that is kept beside would be late.
	uncached := client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&core.Secret{}}}}
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme, Client: uncached, Metrics: metrics.Options{BindAddress: "0"},
	})
	if err != nil {
		return err
	}
	only := map[string]bool{cainjector.ValidatingWebhookConfigurationName: true}
	options := cainjector.SetupOptions{EnableCertificatesDataSource: true, EnabledReconcilersFor: only}
	if err := cainjector.RegisterAllInjectors(ctx, manager, options); err != nil {
		return err
	}
	return manager.Start(ctx)
}
